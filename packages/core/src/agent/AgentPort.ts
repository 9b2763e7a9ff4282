/**
 * A machine's interface for a conversation with the agent in its guest.
 *
 * @module
 */
import type { Effect } from "effect"
import type { Observable } from "rxjs"
import type { GuestEvent, GuestNanos } from "../GuestEvent.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { IdentitySpec, MachineStop, MachineUntil } from "../Vmm.ts"

/**
 * The host's requests to the agent, distinguished by `_tag`. Each is one frame on the control port, recorded as `HostInput`.
 */
export type AgentRequest =
  /** Lets a held workload go. */
  | { readonly _tag: "Go" }
  /** Starts a command. */
  | {
      readonly _tag: "Exec"
      readonly id: number
      readonly argv: ReadonlyArray<string>
      /** `KEY=VALUE`. */
      readonly env: ReadonlyArray<string>
      /** Working directory; empty: `/`. */
      readonly cwd: string
      /** First bytes of standard input. */
      readonly stdin: Uint8Array
      /** Whether standard input ends after them. */
      readonly closeStdin: boolean
      /** Bytes of output that it may say before `ExecWindow`. */
      readonly outputBytes: number
      /** Whom it runs as; empty: uid 0. */
      readonly user: string
      /** Size of its terminal; 0: it has none. */
      readonly columns: number
      readonly rows: number
      /** Whether it is the agent's own program for file operations. */
      readonly isFileService: boolean
      /** Whether it is recorded without its content. */
      readonly isSecret: boolean
    }
  /** More standard input for a command. */
  | {
      readonly _tag: "ExecStdin"
      readonly id: number
      readonly data: Uint8Array
      readonly close: boolean
      readonly isSecret: boolean
    }
  /** Opens a command's output window; 0 discards all further output. */
  | { readonly _tag: "ExecWindow"; readonly id: number; readonly bytes: number }
  /** Gives a command's terminal another size. */
  | { readonly _tag: "ExecResize"; readonly id: number; readonly columns: number; readonly rows: number }
  /** Sends a signal to a command. */
  | { readonly _tag: "ExecKill"; readonly id: number; readonly signal: number }
  /** Freezes the workload, syncs, drains; answered by `AgentFrozen`. */
  | { readonly _tag: "Freeze"; readonly token: number }
  /** Continues the workload; answered by `AgentThawed`. */
  | { readonly _tag: "Thaw"; readonly token: number }
  /** Gives the guest a new identity; answered by `IdentityApplied`. */
  | { readonly _tag: "ApplyIdentity"; readonly token: number; readonly identity: IdentitySpec }
  /** Sets the guest's wall clock, nanoseconds since 1970; answered only by a refusal. */
  | { readonly _tag: "SetClock"; readonly realtimeNanos: bigint }
  /** Gives a guest without a workload its root and its workload; answered by `WorkloadPreExec` or `WorkloadFailed`. */
  | {
      readonly _tag: "StartWorkload"
      readonly token: number
      readonly settings: ReadonlyArray<string>
      readonly isSecret: boolean
    }
  /** Switches the guest off. */
  | { readonly _tag: "PowerOff" }

/** Events that answer a request which carries a token. */
export type TokenAnswer = "AgentFrozen" | "AgentThawed" | "IdentityApplied"

/** A machine as its agent client needs it. */
export interface AgentPort {
  /** Puts a request on the control port. Does not run the guest; fails with `InputFull` where the port takes no more. */
  readonly tell: (request: AgentRequest) => Effect.Effect<void, MachineError>
  /** Types on a serial port, as above. */
  readonly type: (port: number, data: Uint8Array, isSecret: boolean) => Effect.Effect<void, MachineError>
  /**
   * A number that no command and no request of this machine's lineage has used. `answer` is the kind of answer that will carry
   * it, if any.
   */
  readonly nextToken: (answer: TokenAnswer | null) => Effect.Effect<number>
  readonly nowNanos: Effect.Effect<GuestNanos>
  /** `seq` that the next event will have. */
  readonly nextSeq: () => number
  readonly eventsFrom: (seq: number) => Observable<GuestEvent>
  /** The events so far of the machine's own log. */
  readonly eventsSoFar: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /**
   * Runs the guest. If another caller is running it, waits until that run is over or `over` ends, and returns `null`.
   */
  readonly advance: (until: MachineUntil, over: Effect.Effect<void>) => Effect.Effect<MachineStop | null, MachineError>
}
