/**
 * Why a run ended.
 *
 * @module
 */
import type { GuestNanos } from "./GuestEvent.ts"

/**
 * Why a run ended. The guest stands between two instructions.
 *
 * `idle`: it waits for an interrupt that only host input can bring. `horizon`: guest time reached 2^53 - 1.
 */
export interface MachineStop {
  readonly reason: "event" | "time" | "budget" | "idle" | "halted" | "reset" | "fault" | "paused" | "horizon"
  /** The event that ended the run, when `reason` is `event`. */
  readonly seq: number | null
  readonly atNanos: GuestNanos
}
