/**
 * A live machine: it runs in the background, at the host's pace.
 *
 * @module
 */
import type { Duration, Effect } from "effect"
import type { GuestNanos } from "./GuestEvent.ts"
import type { MachineError } from "./MachineErrors.ts"
import type { MachineStop } from "./MachineStop.ts"

/** Options of a live machine. */
export interface LiveOptions {
  /**
   * Host time after which the machine pauses itself (`dozing`) if it received no input and its guest never worked for more than 10 ms
   * at a stretch; never if absent. Input of any kind, a command or traffic wakes it.
   */
  readonly idleTimeout?: Duration.Input
  /**
   * How far the guest's wall clock may fall behind the host's before the agent corrects it, at most once a second; never corrected if
   * absent, which is right for a guest whose clock is independent of the host's. A machine from the gate has the gate's tolerance.
   */
  readonly clockTolerance?: Duration.Input
}

/**
 * The state of a live machine. `awake`: it executes, or waits for its turn on the host's processors. `asleep`: its guest waits for a
 * timer or for input. `dozing`: it has paused itself until the next input. `paused`: it was paused, and waits to be resumed.
 * `ended`: its guest has ended, or the machine was closed.
 */
export type LiveStatus = "awake" | "asleep" | "dozing" | "paused" | "ended"

/** Counters of a live machine. */
export interface LiveState {
  readonly status: LiveStatus
  /** Host time that guest time has not followed since the machine went live or was resumed, nanoseconds: it dozed, or had more work than the host can do. */
  readonly lostNanos: number
  /** The resulting lag of the guest's wall clock, nanoseconds. */
  readonly clockErrorNanos: number
  /** Number of times that it woke from sleep since it went live or was resumed. */
  readonly wakes: number
}

/**
 * A live machine, until its scope ends; then it is stopped, as after a run.
 *
 * Guest time follows the host's clock and is never ahead of it. A guest with more work than its host can do falls behind and catches
 * up during its next waits, by at most 100 ms; a larger delay is lost. While its guest waits, a machine uses neither processor time
 * nor a thread; input wakes it at once, at the guest time that the host's clock gives.
 *
 * All other operations (commands, files, input, captures, forks, digests) happen between two instructions, and the machine then
 * continues; operations that wait for the guest only listen. `Machine.run` fails with `AlreadyRunning`. While the machine is paused,
 * its guest does not continue, and commands keep waiting.
 *
 * Input from the host is recorded in the timeline with its guest time, so a live run can be repeated: see
 * `docs/design/bridge.md`.
 */
export interface LiveMachine {
  readonly state: Effect.Effect<LiveState>
  /** Stops it between two instructions; returns the guest time. Does nothing if it is paused or has ended. */
  readonly pause: Effect.Effect<GuestNanos, MachineError>
  /** Continues it; for its guest, no time has passed. Does nothing if it is not paused or has ended. */
  readonly resume: Effect.Effect<void, MachineError>
  /** Waits until its guest has ended, and returns how. A pause is not an end. Fails with `Closed` if the machine was closed. */
  readonly ended: Effect.Effect<MachineStop, MachineError>
}
