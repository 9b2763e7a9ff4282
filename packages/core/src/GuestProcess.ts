/**
 * A command of the host's that runs in a guest.
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
  /** Added to the environment that the guest's commands have, in place of what has the same name there. */
  readonly env?: Readonly<Record<string, Secret<string>>>
  /** Working directory; `/` if absent. */
  readonly cwd?: string
  /** Whom it runs as: `user` or `user:group`, each a name of the guest's `/etc/passwd` and `/etc/group` or a number; `0` if absent. */
  readonly user?: string
  /** Gives it a pseudo-terminal, its controlling one, of this size: all its output is `stdout` then. Pipes if absent. */
  readonly terminal?: TerminalSize
  /**
   * Output, of both streams together, that may stand unread on the host, 4 KiB to 1 GiB; 1 MiB if absent. What is more stays in the
   * guest's pipe, and the command waits when it writes: it is held up, and nothing is lost.
   */
  readonly windowBytes?: number
  /** The pace of the guest while it is run for this command; `asFastAsPossible` if absent. */
  readonly pace?: "asFastAsPossible" | "realTime"
}

/** How a command ended: by itself with a code, or by a signal. The other is `null`. */
export interface ProcessExit {
  readonly code: number | null
  readonly signal: number | null
}

/**
 * A command that runs in a guest.
 *
 * *Who runs the guest.* Whoever waits: pulling from a stream, writing more than there is room for, and `exit` let the guest go on until
 * what is waited for has happened, and no further. While somebody else runs the guest, by `Machine.run` or for another process,
 * they wait for what comes of that. Between waits the guest stands still, as ever; where it waits for input itself, or was
 * paused, they wait until it is given some, or run.
 *
 * *Back-pressure.* The host holds `windowBytes` at most; a command that writes more waits in its own `write`. A wait that could only end
 * if output were read, which nobody reads, fails with `OutputUnread`: a command whose output is of no interest is drained
 * (`Stream.runDrain`).
 *
 * Errors: `ExecError` with the reason, `MachineError` where the machine was closed.
 */
export interface GuestProcess {
  /** Its process id in the guest. */
  readonly pid: number
  /**
   * Standard output, as it comes, to its end. Each piece is given once, to whoever pulls first. Ends with the command; fails where the
   * guest ended before.
   */
  readonly stdout: Stream.Stream<Uint8Array, ExecError | MachineError>
  /** Standard error, as `stdout`. Empty for a command with a terminal. */
  readonly stderr: Stream.Stream<Uint8Array, ExecError | MachineError>
  /** `stdout` as an observable: it is pulled while there are subscribers, who share it. */
  readonly stdout$: Observable<Uint8Array>
  /** `stderr` as an observable. */
  readonly stderr$: Observable<Uint8Array>
  /** Standard input: writes what it is given and then ends it. */
  readonly stdin: Sink.Sink<void, Uint8Array | string, never, ExecError | MachineError>
  /** Writes to standard input; waits where the command reads more slowly. `InputClosed`: it reads no more. */
  readonly write: (data: Uint8Array | string) => Effect.Effect<void, ExecError | MachineError>
  /** Ends standard input; on a terminal, types its end-of-file character. */
  readonly endInput: Effect.Effect<void, MachineError>
  /** Sends a signal, by its Linux number, to the command and everything in its process group; `SIGTERM`, 15, if absent. */
  readonly kill: (signal?: number) => Effect.Effect<void, ExecError | MachineError>
  /** Gives the terminal another size; the command gets `SIGWINCH`. `InvalidCommand`: it has none. */
  readonly resize: (size: TerminalSize) => Effect.Effect<void, ExecError | MachineError>
  /** Waits for its end. All output has come by then, and can still be pulled. */
  readonly exit: Effect.Effect<ProcessExit, ExecError | MachineError>
}
