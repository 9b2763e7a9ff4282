import { guestTimeInWords } from "@stillpoint/core"
import type { Duration } from "effect"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { combinator } from "./combinator.ts"
import { durationOf } from "../guestDuration.ts"
import { Policy } from "../Policy.ts"
import { firstOf } from "./firstOf.ts"

/**
 * Fires when a trigger does, or after a duration of guest time at the latest: `atLatest(t, d)(a) = min(t(a), a + d)`.
 *
 * It is `firstOf([t, afterGuestTime(d)])`. To give up instead, use `within`; to wait for something else, `orElseAfter`.
 *
 * - *Same instant*: the deadline comes before an event at `a + d`; a timer of the trigger at `a + d` comes before the deadline.
 * - *Already true at arming*: a trigger that fires at once does; with a duration of 0 the deadline does.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onListener, atLatest } from "@stillpoint/triggers"
 *
 * console.log(onListener().pipe(atLatest("7 seconds")).name) // atLatest(onListener, 7 s)
 * ```
 */
export const atLatest: {
  (duration: Duration.Input): (policy: Policy) => Policy
  (policy: Policy, duration: Duration.Input): Policy
} = combinator("atLatest", 1, durationOf("atLatest"), (policy, nanos) => {
  const either = firstOf([policy, afterGuestTime(BigInt(nanos))])
  return new Policy({
    ...either.shape,
    name: `atLatest(${policy.name}, ${guestTimeInWords(nanos)})`,
    description: { trigger: "atLatest", of: policy.description, nanos }
  })
})
