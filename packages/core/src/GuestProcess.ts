/**
 * A command that the host runs in a guest.
 *
 * @module
 */
import type { Effect, Sink, Stream } from "effect"
import type { Observable } from "rxjs"
import type { ExecError, MachineError } from "./MachineErrors.ts"
import type { Secret } from "./Secret.ts"

/** Size of a terminal, 1 to 65,535 each. */
export interface TerminalSize {
  readonly columns: number
  readonly rows: number
}

/** A command to start. */
export interface SpawnSpec {
  /** Program and arguments; a program without `/` is looked for in the guest's `PATH`. */
  readonly argv: ReadonlyArray<string>
  /** Variables added to the usual environment of commands; they replace those of the same name. */
  readonly env?: Readonly<Record<string, Secret<string>>>
  /** Working directory; `/` if absent. */
  readonly cwd?: string
  /** User to run as: `user` or `user:group`, each a number or a name from the guest's `/etc/passwd` and `/etc/group`; `0` if absent. */
  readonly user?: string
  /** Gives it a controlling pseudo-terminal of this size; all its output is then `stdout`. Pipes if absent. */
  readonly terminal?: TerminalSize
  /**
   * Maximum unread output on the host, both streams together, 4 KiB to 1 GiB; 1 MiB if absent. Further output stays in the guest's pipe,
   * and the command waits in its `write`; nothing is lost.
   */
  readonly windowBytes?: number
  /** Pace of the guest while it runs for this command; `asFastAsPossible` if absent. */
  readonly pace?: "asFastAsPossible" | "realTime"
}

/** The end of a command: an exit code or a signal. The other is `null`. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: number | null
}

/**
 * A command that runs in a guest.
 *
 * *Who runs the guest.* The caller that waits: pulling from a stream, writing more than there is room for, and `exit` run the guest
 * until they have their result, and no further. If another caller is running the guest, through `Machine.run` or for another process,
 * they wait for the events of that run. Between waits the guest is stopped. If the guest itself waits for input, or was paused, they
 * wait until it gets input or is run.
 *
 * *Back-pressure.* The host holds at most `windowBytes`; a command that writes more waits in its own `write`. A wait that can only end
 * once unread output is read fails with `OutputUnread`; drain output that you do not need (`Stream.runDrain`).
 *
 * *Clones.* A fork or a restored machine also has the command, which continues there, but this is not a handle on it. Its output
 * there is dropped, so it waits for no reader.
 *
 * Errors: `ExecError` with the reason; `MachineError` if the machine was closed.
 */
export interface GuestProcess {
  /** Its process id in the guest. */
  readonly pid: number
  /**
   * Standard output as it arrives. Each piece is delivered once, to the first caller that pulls. Ends with the command; fails if the
   * guest ends before.
   */
  readonly stdout: Stream.Stream<Uint8Array, ExecError | MachineError>
  /** Standard error, as `stdout`. Empty for a command with a terminal. */
  readonly stderr: Stream.Stream<Uint8Array, ExecError | MachineError>
  /** `stdout` as an observable: it is pulled while there are subscribers, who share it. */
  readonly stdout$: Observable<Uint8Array>
  /** `stderr` as an observable. */
  readonly stderr$: Observable<Uint8Array>
  /** Standard input: writes the given bytes and then closes it. */
  readonly stdin: Sink.Sink<void, Secret<Uint8Array | string>, never, ExecError | MachineError>
  /**
   * Writes to standard input; waits while the command reads more slowly. A `Redacted` value is recorded as withheld. Fails with
   * `InputClosed` if the command has closed it.
   */
  readonly write: (data: Secret<Uint8Array | string>) => Effect.Effect<void, ExecError | MachineError>
  /** Ends standard input; on a terminal, types its end-of-file character. */
  readonly endInput: Effect.Effect<void, MachineError>
  /** Sends a signal, by its Linux number, to the command and everything in its process group; `SIGTERM`, 15, if absent. */
  readonly kill: (signal?: number) => Effect.Effect<void, ExecError | MachineError>
  /** Gives the terminal another size; the command gets `SIGWINCH`. `InvalidCommand`: it has none. */
  readonly resize: (size: TerminalSize) => Effect.Effect<void, ExecError | MachineError>
  /** Waits for its end. All output has come by then, and can still be pulled. */
  readonly exit: Effect.Effect<ProcessExit, ExecError | MachineError>
}
