/**
 * Options of a machine's gate.
 *
 * @module
 */
import type { Duration, Effect } from "effect"
import type { IdentityChoice } from "./FreshIdentity.ts"
import type { GateState } from "./GateState.ts"
import type { LoadOptions } from "./loadSnapshot.ts"

/** Options of a machine's gate. */
export interface GateOptions extends LoadOptions {
  /** Chosen parts of the new identity. */
  readonly identity?: IdentityChoice
  /** Guest time within which the guest must acknowledge; 5 s if absent. What its hook takes counts, unless `hookTimeout` is given: that is added. */
  readonly guestTimeout?: Duration.Input
  /** Host time within which it must; 30 s if absent. */
  readonly hostTimeout?: Duration.Input
  /**
   * Maximum error of the guest's wall clock when the guest continues, after the hand-over and after every stop; 5 ms if absent.
   * If the error is larger, the clock is set before the guest does anything else.
   */
  readonly clockTolerance?: Duration.Input
  /** Guest time that the guest's own identity hook may take; as its configuration says if absent. */
  readonly hookTimeout?: Duration.Input
  /** Number of the signal for the workload when it continues, 1 to 64; the guest's configured signal if absent. */
  readonly signal?: number
  /** Told every state that is reached. */
  readonly onState?: (state: GateState) => Effect.Effect<void>
}
