import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { describe } from "vitest"
import { atHeartbeat, firstOf, named, onParked, type Policy, precedence, quiesce, Trigger } from "../index.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { timelineOf } from "./guestEvents.ts"
import { asksTheAgent, withoutSharedAnswers } from "./sharedFreeze.ts"

const millis = (count: number): number => count * 1e6
const frozen = { calmFor: "10 millis", deadline: "none", onDeadline: "capture", agent: "ask", activity: [] } as const
const beat = quiesce(atHeartbeat(3), frozen)
const parked = named(quiesce(onParked(), frozen), "parked")
const beats = { _tag: "HeartbeatTick", count: 3 } as const
const parks = { _tag: "WorkloadParked" } as const
const freezes = { _tag: "AgentFrozen", token: 1 } as const

/** Who fires, and when. */
const told = (policy: Policy, line: ReplayedTimeline): readonly [string, number] | null => {
  const decision = Trigger.replay(policy, line)
  return Result.isSuccess(decision) ? [decision.success.trigger, decision.success.atNanos] : null
}

describe("parts of one policy that ask the agent share what it answers", () => {
  it("what-one-part-froze-is-frozen-for-the-other-and-the-left-wins-a-tie-that-neither-has-alone", () => {
    const line = timelineOf(
      [
        [0, beats],
        [millis(1), freezes],
        [millis(1), parks]
      ],
      { atNanos: millis(1000), reason: "time" }
    )
    assert.deepStrictEqual(told(beat, line), ["atHeartbeat(3)", millis(11)])
    // Nobody answers its own request.
    assert.isNull(told(parked, line))
    assert.deepStrictEqual(told(firstOf([beat, parked]), line), ["atHeartbeat(3)", millis(11)])
    assert.deepStrictEqual(told(firstOf([parked, beat]), line), ["parked", millis(11)])
  })

  it("the-answer-to-a-request-that-one-part-gave-back-is-none-to-the-other", () => {
    const line = timelineOf(
      [
        [0, beats],
        [millis(20), parks],
        [millis(30), freezes]
      ],
      { atNanos: millis(1000), reason: "time" }
    )
    const abandons = quiesce(atHeartbeat(3), { ...frozen, deadline: "10 millis", onDeadline: "abandon" })
    assert.deepStrictEqual(told(parked, line), ["parked", millis(40)])
    assert.isNull(told(precedence([parked, abandons]), line))
    assert.isNull(told(firstOf([abandons, parked]), line))
  })

  it("laws-of-parts-alone-leave-out-the-answers-where-both-ask", () => {
    const line = timelineOf([
      [0, beats],
      [1, freezes]
    ])
    assert.isFalse(asksTheAgent(atHeartbeat(3)))
    assert.isFalse(asksTheAgent(quiesce(onParked(), { calmFor: 0 })))
    assert.isTrue(asksTheAgent(quiesce(onParked(), { calmFor: "1 millis" })))
    assert.deepStrictEqual(withoutSharedAnswers(beat, atHeartbeat(3), line), line)
    assert.deepStrictEqual(withoutSharedAnswers(beat, parked, line).events, line.events.slice(0, 1))
  })
})
