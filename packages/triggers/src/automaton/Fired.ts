/**
 * A firing on its way upwards through a policy: an immutable value, that a part may keep for later.
 *
 * @module
 */
import type { FiringCause, GuestEvent, GuestNanos, QuiesceReport } from "@stillpoint/core"

/** The cause of one trigger's firing. */
export interface Fired {
  /** The cause that is reported. */
  readonly cause: FiringCause
  /** Number of the trigger that fired. */
  readonly by: number
  /** Guest time since which it had watched; it may be armed again before this is reported. */
  readonly armedAtNanos: GuestNanos
  /** The event that it fired on, whatever the reported cause; `null` if it was a timer or a probe. */
  readonly event: GuestEvent | null
  /** Guest time until which the guest certainly holds its workload; `null` if unknown. */
  readonly heldUntilNanos: GuestNanos | null
  /** A further wait after it, as a clause that continues the trigger's own; empty if there is none. */
  readonly furtherWait: string
  /** Report of the quiesce that the firing went through; the outermost one counts. */
  readonly quiesce: QuiesceReport | null
}

/** An event that says better what another had been taken for. */
export type Correction = Pick<Fired, "event" | "heldUntilNanos">

/** The same firing, on an event that describes its cause better. The cause becomes that event, unless a policy had mapped it. */
export const correctedBy = (fired: Fired, correction: Correction): Fired => {
  const { cause, event } = fired
  const isTold = cause._tag === "Event" && cause.event === event && correction.event !== null
  return { ...fired, ...correction, cause: isTold ? { _tag: "Event", event: correction.event } : cause }
}

/** The same firing, once the freeze of its quiesce, or the request for it, was withdrawn: the guest has continued since. */
export const thawed = (fired: Fired): Fired =>
  fired.quiesce?.agent === "frozen" || fired.quiesce?.agent === "no-answer"
    ? { ...fired, quiesce: { ...fired.quiesce, agent: "given-back" } }
    : fired
