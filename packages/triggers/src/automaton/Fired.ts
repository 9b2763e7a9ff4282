/**
 * A firing on its way upwards through a policy: an immutable value, that a part may keep for later.
 *
 * @module
 */
import type { FiringCause, GuestEvent, GuestNanos, QuiesceReport } from "@stillpoint/core"

/** What one trigger has fired on. */
export interface Fired {
  /** As it will be told. */
  readonly cause: FiringCause
  /** Number of the trigger that fired. */
  readonly by: number
  /** Guest time from which it had watched: it may be armed again by the time that this is told. */
  readonly armedAtNanos: GuestNanos
  /** The event that it fired on, whatever the cause that is told says; `null` if it was a timer or a probe. */
  readonly event: GuestEvent | null
  /** Guest time until which the guest is sure not to go on with its workload; `null` if nothing says so. */
  readonly heldUntilNanos: GuestNanos | null
  /** What was waited for after it, as a clause that goes on after what the trigger waited for; empty for nothing. */
  readonly furtherWait: string
  /** Report of the quiesce that the firing went through; the outermost one counts. */
  readonly quiesce: QuiesceReport | null
}

/** An event that says better what another had been taken for. */
export type Correction = Pick<Fired, "event" | "heldUntilNanos">

/** The same firing, on an event that says better what it was taken for: the cause is that one, but where a policy had told another. */
export const correctedBy = (fired: Fired, correction: Correction): Fired => {
  const { cause, event } = fired
  const isTold = cause._tag === "Event" && cause.event === event && correction.event !== null
  return { ...fired, ...correction, cause: isTold ? { _tag: "Event", event: correction.event } : cause }
}

/** The same firing, once the freeze that its quiesce had asked for, or the request for it, was given back: the guest goes on since. */
export const thawed = (fired: Fired): Fired =>
  fired.quiesce?.agent === "frozen" || fired.quiesce?.agent === "no-answer"
    ? { ...fired, quiesce: { ...fired.quiesce, agent: "given-back" } }
    : fired
