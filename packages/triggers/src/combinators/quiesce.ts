import { guestTimeInWords } from "@stillpoint/core"
import { type Duration, Schema } from "effect"
import { optional, requireAll, requireOptions, wordAmong } from "../argument.ts"
import { combinator } from "./combinator.ts"
import { toGuestNanos } from "../guestDuration.ts"
import { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { Activity, defaultActivity } from "./activity.ts"
import { QuiescePart, type QuiesceSettings } from "./quiescing/QuiescePart.ts"

/** The required calm, and the action if it does not come. */
export interface QuiesceOptions {
  /** Guest time for which the guest must have been calm without a break, between the firing and the capture. */
  readonly calmFor: Duration.Input
  /** Longest wait; 5 s if absent, `none` to wait forever. Never longer than the hold of the trigger that fired. */
  readonly deadline?: Duration.Input | "none"
  /** Activity that breaks the calm; {@link defaultActivity} if absent. */
  readonly activity?: ReadonlyArray<Activity>
  /** What to do at the deadline; `fail` if absent. */
  readonly onDeadline?: "capture" | "abandon" | "fail"
  /**
   * Whether the agent freezes the workload, syncs and drains first. `auto` (the default): yes, except for a trigger that holds
   * the guest itself (pre-exec), and if `calmFor` is 0. `none`: the workload runs on during the calm; while anything else, such
   * as another policy, has frozen it, it is not calm.
   */
  readonly agent?: "auto" | "ask" | "none"
}

/**
 * Holds a firing back until the guest is calm.
 *
 * With `t₀ = t(a)`, and `f` the time at which the agent froze the workload last (`t₀` if it is not asked):
 * `quiesce(t, c)(a) = min { s ≥ max(t₀, f) + c | no activity in [s - c, s), the hart is at rest at s }`, if that is at most
 * `t₀ + deadline`; at the deadline the firing is captured all the same (verdict `deadline`), given up (`abandoned`), or the
 * whole policy fails (`QuiesceFailed`). Activity starts the count again.
 *
 * With `calmFor` 0, and without asking the agent, it is `t`: a firing reports only the calm that `t` itself waited for, and a
 * workload that `t` had frozen stays frozen. A longer `calmFor` never captures earlier.
 *
 * - *Same instant*: activity at the very nanosecond at which the calm is full comes too late; calm that is full at the deadline
 *   is in time.
 * - *Already true at arming*: calm counts from the firing, not from before it. Work in progress at that moment is activity
 *   until its end, however short; so is a request in flight.
 * - *At rest*: required only if {@link busyForLongerThan} is among the activity.
 * - *Guest ends first*: does not fire. A guest that rests for ever is calm.
 * - *The agent refuses*: the wait ends at once, as at its deadline. *The workload is thawed meanwhile*: the policy asks for the
 *   freeze again.
 * - *The hold of pre-exec*: the wait is over a nanosecond before its end at the latest; a `calmFor` that does not fit into it ends
 *   the policy with the reason `HoldTooShort`.
 * - *The listener that it fired on closes*: it waits for the trigger again, and for those below it in a `precedence` too.
 * - *The freeze*: withdrawn when the wait ends without a capture, also if a combinator around it continues after its firing.
 *
 * @example
 * ```ts
 * import { eventHappens, defaultActivity, onListener, quiesce } from "@stillpoint/triggers"
 *
 * const policy = onListener().pipe(
 *   quiesce({ calmFor: "50 millis", deadline: "2 seconds", onDeadline: "capture", activity: [...defaultActivity, eventHappens("SerialLine")] })
 * )
 * console.log(policy.name) // quiesce(onListener, 50 ms)
 * ```
 */
export const quiesce: {
  (options: QuiesceOptions): (policy: Policy) => Policy
  (policy: Policy, options: QuiesceOptions): Policy
} = combinator(
  "quiesce",
  1,
  (options: QuiesceOptions) => readSettings(options),
  (policy, settings) => quiesced(policy, settings)
)

const quiesced = (policy: Policy, settings: QuiesceSettings): Policy => {
  const { activity, agent, calmForNanos, deadlineNanos, onDeadline } = settings
  const spread = policy.shape.quiesced?.((part) => quiesced(part, settings))
  return new Policy({
    name: `quiesce(${policy.name}, ${guestTimeInWords(calmForNanos)})`,
    description: {
      trigger: "quiesce",
      of: policy.description,
      calmForNanos,
      deadlineNanos,
      onDeadline,
      agent,
      activity: [...activity]
    },
    parts: [policy],
    build: spread?.shape.build ?? ((site) => new QuiescePart(site, policy, settings))
  })
}

const readSettings = (input: QuiesceOptions): QuiesceSettings => {
  const {
    activity = defaultActivity,
    agent = "auto",
    calmFor: calmForNanos,
    deadline: deadlineNanos = defaultDeadlineNanos,
    onDeadline = "fail"
  } = requireOptions("quiesce", input, {
    calmFor: toGuestNanos,
    deadline: optional((what, value) => (value === "none" ? null : toGuestNanos(what, value))),
    activity: optional(readActivity),
    onDeadline: optional(wordAmong("capture", "abandon", "fail")),
    agent: optional(wordAmong("auto", "ask", "none"))
  })
  if (deadlineNanos !== null && calmForNanos > deadlineNanos) {
    refuse(
      "quiesce.deadline",
      `a deadline that leaves room for a calm of ${guestTimeInWords(calmForNanos)}`,
      guestTimeInWords(deadlineNanos)
    )
  }
  return { calmForNanos, deadlineNanos, activity, onDeadline, agent }
}

const defaultDeadlineNanos = 5_000_000_000

const isActivity = Schema.is(Activity)

const readActivity = (what: string, list: unknown): ReadonlyArray<Activity> => {
  if (!Array.isArray(list)) return refuse(what, "a list of activities", list)
  const each = Array.from(list as ReadonlyArray<unknown>, (one, index) => [
    String(index),
    () => (isActivity(one) ? one : refuse(`${what}.${index}`, "an activity, as busyForLongerThan makes", one))
  ])
  return Object.values(requireAll(Object.fromEntries(each) as Readonly<Record<string, () => Activity>>))
}
