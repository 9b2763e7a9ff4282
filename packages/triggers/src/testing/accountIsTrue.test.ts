/** Accounts that were untrue, kept. */
import { assert, it } from "@effect/vitest"
import { explain } from "@stillpoint/core"
import { Result } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  afterGuestTime,
  debounce,
  eventHappens,
  firstOf,
  ioInFlight,
  named,
  onEvent,
  onListener,
  onParked,
  onSerialMatch,
  orElseAfter,
  type Policy,
  precedence,
  quiesce,
  type QuiesceOptions,
  repeat,
  Trigger
} from "../index.ts"
import { accountIsTrue } from "./accountIsTrue.ts"
import { anyTimeline, type EventBody, timelineOf } from "./guestEvents.ts"
import { duration } from "./policies.ts"
import { defaultRuns } from "./TriggerLaw.ts"

const millis = (count: number): number => count * 1e6
const listener = { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 } as const
const line = { _tag: "SerialLine", port: 0, text: "up" } as const

const told = (policy: Policy, moments: ReadonlyArray<readonly [number, EventBody]>): string => {
  const decision = Trigger.replay(policy, timelineOf(moments, { atNanos: millis(1000), reason: "time" }))
  return explain(Result.getOrThrow(decision)).text
}

const calm = (options: Partial<QuiesceOptions>): Policy =>
  quiesce(onListener(), { calmFor: "5 millis", deadline: "none", agent: "none", ...options })

describe("an account is true", () => {
  it("of-since-when-a-trigger-waited-that-is-armed-again-by-now", () => {
    assert.include(
      told(debounce(afterGuestTime("10 millis"), "4 millis"), []),
      "guest time to pass, and not again for 4 ms since 0 ns."
    )
    assert.include(
      told(debounce(onSerialMatch("up"), "4 millis"), [[millis(1), line]]),
      "on the console, and not again for 4 ms since 0 ns."
    )
  })

  it("of-one-that-had-fired-and-was-waited-with", () => {
    const silent = firstOf([debounce(onSerialMatch("up"), "4 millis"), afterGuestTime("3 millis")])
    assert.include(
      told(silent, [[millis(1), line]]),
      'onSerialMatch("up") was still waiting: it had fired, and then been silent for 2 ms of 4 ms.'
    )
    const late = orElseAfter(debounce(onSerialMatch("up"), "4 millis"), "3 millis", afterGuestTime("1 millis"))
    assert.include(
      told(late, [[millis(1), line]]),
      'onSerialMatch("up") was out of time: it had fired, and then been silent for 2 ms of 4 ms.'
    )
    const tooLong = orElseAfter(calm({ activity: [] }), "3 millis", afterGuestTime("1 millis"))
    assert.include(
      told(tooLong, [[millis(1), listener]]),
      "onListener was out of time: calm for 2 ms of 5 ms, 0 restarts."
    )
    // Armed again, it has not fired yet.
    const anew = quiesce(afterGuestTime("1 millis"), {
      calmFor: "5 millis",
      deadline: "none",
      agent: "none",
      activity: []
    })
    const again = repeat(orElseAfter(anew, "3 millis", afterGuestTime("1 millis")), { times: 2 })
    assert.include(told(again, []), "afterGuestTime(1 ms) was out of time: calm for 2 ms of 5 ms")
  })

  it("of-silence-that-others-came-before", () => {
    const kinds = ["SerialLine", "HeartbeatTick", "ListenerBound"] as const
    fc.assert(
      fc.property(fc.constantFrom(...kinds), duration, duration, anyTimeline(), (kind, silence, deadline, line) => {
        const silent = debounce(onEvent(kind), silence)
        for (const policy of [
          firstOf([silent, afterGuestTime(deadline)]),
          precedence([named(onParked(), "parked"), silent])
        ])
          for (const firing of Trigger.replayAll(policy, line).firings)
            accountIsTrue(explain(firing).text, { ...firing, events: line.events, description: policy.description })
      }),
      { numRuns: defaultRuns() }
    )
  })

  it("of-what-ended-last-where-activity-overlaps", () => {
    const text = told(calm({ activity: [ioInFlight, eventHappens("SerialLine")] }), [
      [millis(1), listener],
      [millis(4), { _tag: "IoStarted", device: "disk" }],
      [millis(5), line],
      [millis(8), { _tag: "IoSettled", device: "disk" }]
    ])
    assert.include(text, "from 8 ms on the guest was calm")
    assert.include(text, "Activity started the count of calm again once, the last time io at 8 ms.")
  })

  it("of-a-count-that-a-thaw-began-anew", () => {
    const text = told(calm({ agent: "ask", activity: [] }), [
      [millis(1), listener],
      [millis(2), { _tag: "AgentFrozen", token: 1 }],
      [millis(4), { _tag: "AgentThawed", token: 2 }],
      [millis(6), { _tag: "AgentFrozen", token: 3 }]
    ])
    assert.include(text, "from 6 ms on the guest was calm")
    assert.notInclude(text, "Nothing started the count")
  })
})
