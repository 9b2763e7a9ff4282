/**
 * Given a policy, when a guest does this, then it fires so: the language in which triggers are tested.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { Firing, TriggerReason } from "@stillpoint/core"
import { Result } from "effect"
import type { Policy } from "../Policy.ts"
import { replay } from "../deciding/replayPolicy.ts"
import { type EventBody, timelineOf } from "./guestEvents.ts"

/** The expectations of a policy's decision. */
export interface PolicyThen {
  /** It fired, and the firing has these fields. */
  readonly thenFires: (expected: Partial<Firing>) => Firing
  /** It did not fire, for this reason. */
  readonly thenDoesNotFire: (reason: TriggerReason["_tag"]) => TriggerReason
}

/**
 * Given a policy, when these events happen and the guest runs until then, then …
 *
 * @example
 * ```ts
 * import { onPreExec, within } from "@stillpoint/triggers"
 * import { givenPolicy } from "@stillpoint/triggers/testing"
 *
 * const late = givenPolicy(within(onPreExec(), "1 second"))
 * late.when([[1e9 - 1, { _tag: "WorkloadPreExec", argv: [], holdNanos: 1e8 }]]).thenFires({ trigger: "onPreExec" })
 * late.when([[1e9, { _tag: "WorkloadPreExec", argv: [], holdNanos: 1e8 }]], 2e9).thenDoesNotFire("NothingArmed")
 * ```
 */
export const givenPolicy = (policy: Policy) => ({
  /** `endNanos`: guest time until which the guest runs; the last event's if absent. */
  when: (moments: ReadonlyArray<readonly [atNanos: number, event: EventBody]>, endNanos?: number): PolicyThen => {
    const end = endNanos === undefined ? null : { atNanos: endNanos, reason: "time" as const }
    const decision = replay(policy, timelineOf(moments, end))
    return {
      thenFires: (expected) => {
        assert.ok(Result.isSuccess(decision), Result.isFailure(decision) ? decision.failure.message : "")
        for (const [key, value] of Object.entries(expected)) {
          assert.deepEqual(decision.success[key as keyof Firing], value, key)
        }
        return decision.success
      },
      thenDoesNotFire: (reason) => {
        assert.ok(Result.isFailure(decision), "it fired")
        assert.equal(decision.failure.reason._tag, reason)
        return decision.failure.reason
      }
    }
  }
})
