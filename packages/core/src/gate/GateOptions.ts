/**
 * How a machine is taken through its gate.
 *
 * @module
 */
import type { Duration, Effect } from "effect"
import type { IdentityChoice } from "./FreshIdentity.ts"
import type { GateState } from "./GateState.ts"
import type { LoadOptions } from "./loadSnapshot.ts"

/** How a machine is taken through its gate. */
export interface GateOptions extends LoadOptions {
  /** Chosen parts of the new identity. */
  readonly identity?: IdentityChoice
  /** Guest time within which the guest must acknowledge; 5 s if absent. What its hook takes counts, unless `hookTimeout` is given: that is added. */
  readonly guestTimeout?: Duration.Input
  /** Host time within which it must; 30 s if absent. */
  readonly hostTimeout?: Duration.Input
  /**
   * Largest error of the guest's wall clock when it goes on, after the hand-over and after every time that it stood; 5 ms if absent.
   * Where it is exceeded, the clock is set before the guest does anything else.
   */
  readonly clockTolerance?: Duration.Input
  /** Guest time that the guest's own identity hook may take; as its configuration says if absent. */
  readonly hookTimeout?: Duration.Input
  /** Number of the signal that the workload is sent once it goes on, 1 to 64; as the guest's configuration says if absent. */
  readonly signal?: number
  /** Told every state that is reached. */
  readonly onState?: (state: GateState) => Effect.Effect<void>
}
