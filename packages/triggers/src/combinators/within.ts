import { guestTimeInWords } from "@stillpoint/core"
import type { Duration } from "effect"
import { never } from "../builtin/never.ts"
import { combinator } from "./combinator.ts"
import { durationOf } from "../guestDuration.ts"
import { Policy } from "../Policy.ts"
import { OrElseAfter } from "./orElseAfter.ts"

/**
 * Lets a trigger fire only within a duration of guest time from its arming: `within(t, d)(a) = t(a) if t(a) < a + d, else ∞`.
 *
 * It is `orElseAfter(t, d, never)`.
 *
 * - *Same instant*: the deadline comes first: an event or a timer at `a + d` is too late.
 * - *Already true at arming*: a trigger that fires at once does, unless the duration is 0.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onListener, within } from "@stillpoint/triggers"
 *
 * console.log(onListener().pipe(within("5 seconds")).name) // within(onListener, 5 s)
 * ```
 */
export const within: {
  (duration: Duration.Input): (policy: Policy) => Policy
  (policy: Policy, duration: Duration.Input): Policy
} = combinator("within", 1, durationOf("within"), (policy, nanos) => {
  return new Policy({
    name: `within(${policy.name}, ${guestTimeInWords(nanos)})`,
    description: { trigger: "within", of: policy.description, nanos },
    parts: [policy],
    build: (site) => new OrElseAfter(site, "within", policy, nanos, never)
  })
})
