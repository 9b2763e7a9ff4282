/** Accounts that were untrue, kept. */
import { assert, it } from "@effect/vitest"
import { explain } from "@stillpoint/core"
import { Result } from "effect"
import { describe } from "vitest"
import {
  afterGuestTime,
  debounce,
  eventHappens,
  ioInFlight,
  onListener,
  onSerialMatch,
  type Policy,
  quiesce,
  type QuiesceOptions,
  Trigger
} from "../index.ts"
import { type EventBody, timelineOf } from "./guestEvents.ts"

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
    assert.include(told(debounce(afterGuestTime("10 millis"), "4 millis"), []), "guest time to pass since 0 ns.")
    assert.include(told(debounce(onSerialMatch("up"), "4 millis"), [[millis(1), line]]), "on the console since 0 ns.")
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
