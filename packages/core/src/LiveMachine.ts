/**
 * A machine that lives: it runs in the background, at the host's pace.
 *
 * @module
 */
import type { Duration, Effect } from "effect"
import type { GuestNanos } from "./GuestEvent.ts"
import type { MachineError } from "./MachineErrors.ts"
import type { MachineStop } from "./MachineStop.ts"

/** How a machine is to live. */
export interface LiveOptions {
  /**
   * Host time after which it pauses itself (`dozing`) if meanwhile it was given nothing and its guest did no work of more than 10 ms at
   * a stretch; never if absent. It goes on when it is given something: input of any kind, a command, traffic.
   */
  readonly idleTimeout?: Duration.Input
  /**
   * By how much the guest's wall clock may fall behind the host's before the agent sets it, once a second at most; never set if
   * absent, as is right for a guest whose clock is not the host's. A machine from the gate has the gate's tolerance.
   */
  readonly clockTolerance?: Duration.Input
}

/**
 * What a machine that lives is doing. `awake`: it executes, or waits for a turn at the host's processors. `asleep`: its guest waits for a
 * timer or for input. `dozing`: it has paused itself, and goes on when it is given something. `paused`: it was paused, and goes on
 * when it is resumed. `ended`: its guest has ended, or the machine was closed.
 */
export type LiveStatus = "awake" | "asleep" | "dozing" | "paused" | "ended"

/** How a machine has lived so far. */
export interface LiveState {
  readonly status: LiveStatus
  /** Host time by which guest time has not followed since it began to live or was resumed, nanoseconds: it dozed, or computed more than its host can. */
  readonly lostNanos: number
  /** Of that, what the guest's wall clock is behind, nanoseconds. */
  readonly clockErrorNanos: number
  /** How often it was taken up after a sleep, since it began to live or was resumed. */
  readonly wakes: number
}

/**
 * A machine that lives, for as long as its scope lasts: then it stands, as after a run.
 *
 * Guest time follows the host's clock and is never ahead of it. A guest that computes more than its host can falls behind and catches up
 * in its next waits, by 100 ms at most; what is beyond that is lost to guest time. While its guest waits a machine takes no
 * processor time and no thread; what it is given wakes it at once, at the guest time that the host's clock says.
 *
 * Whatever else is done with the machine meanwhile (commands, files, input, captures, forks, digests) is done between two instructions,
 * and it goes on; what waits for the guest only listens. `Machine.run` is refused with `AlreadyRunning`. While the machine is
 * paused nobody lets its guest go on: commands that wait for it go on waiting.
 *
 * What the host gives is recorded in the timeline with its guest time, so that a live run can be repeated: see
 * `docs/design/bridge.md`.
 */
export interface LiveMachine {
  readonly state: Effect.Effect<LiveState>
  /** Has it stand between two instructions; the guest time at which it stands. Nothing if it is paused or has ended. */
  readonly pause: Effect.Effect<GuestNanos, MachineError>
  /** Has it go on. Time for which it was paused has not passed for its guest. Nothing if it lives or has ended. */
  readonly resume: Effect.Effect<void, MachineError>
  /** Waits until its guest has ended, and tells how; pauses are not ends. Fails with `Closed` where the machine was closed. */
  readonly ended: Effect.Effect<MachineStop, MachineError>
}
