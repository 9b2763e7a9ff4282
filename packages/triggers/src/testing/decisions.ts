/**
 * Decisions as plain values, so that laws can compare them.
 *
 * @module
 */
import { type Firing, FiringJson, type TriggerError, TriggerReason } from "@stillpoint/core"
import { Result, Schema } from "effect"
import type { Policy } from "../Policy.ts"
import { replay, type ReplayedTimeline, type ReplayOptions } from "../deciding/replayPolicy.ts"

/**
 * The time of a decision, which is all that laws about timing compare. `fired` is `null` if there is
 * none.
 */
export interface Timing {
  readonly fired: number | null
  readonly afterSeq: number | null
}

const encodeFiring = Schema.encodeSync(FiringJson)
const encodeReason = Schema.encodeSync(Schema.toCodecJson(TriggerReason))

/** A firing or failure as JSON, without the slippage, which is not decided. */
export const decisionJson = (decision: Result.Result<Firing, TriggerError>): unknown =>
  Result.isSuccess(decision)
    ? { ...(encodeFiring(decision.success) as object), slippageNanos: null }
    : encodeReason(decision.failure.reason)

/** The time at which a policy fires on a timeline. */
export const timingOf = (policy: Policy, timeline: ReplayedTimeline, options: ReplayOptions = {}): Timing =>
  timingFrom(replay(policy, timeline, options))

/** The time of a decision. */
export const timingFrom = (decision: Result.Result<Firing, TriggerError>): Timing =>
  Result.isSuccess(decision)
    ? { fired: decision.success.atNanos, afterSeq: decision.success.afterSeq }
    : { fired: null, afterSeq: null }

/** Whether one decision fell before another, or at the same place; no decision counts as the last. */
export const isNotLater = (one: Timing, other: Timing): boolean => {
  if (one.fired === null) return other.fired === null
  if (other.fired === null) return true
  if (one.fired !== other.fired) return one.fired < other.fired
  return (one.afterSeq ?? -1) <= (other.afterSeq ?? -1)
}
