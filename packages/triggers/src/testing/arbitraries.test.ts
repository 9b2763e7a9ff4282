import { assert, it } from "@effect/vitest"
import {
  activityAfter,
  decodeTimeline,
  encodeTimeline,
  type GuestEvent,
  GuestEvent as GuestEventSchema,
  isSameListener,
  noActivity
} from "@stillpoint/core"
import { Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { anyTimeline, eventBody, realisticTimeline } from "./guestEvents.ts"
import { defaultRuns, longestLawMillis } from "./TriggerLaw.ts"
import { asRecording } from "./liveDecision.ts"
import { policy } from "./policies.ts"
import { damagedTimeline, timeline } from "./timelines.ts"

const isEvent = Schema.is(GuestEventSchema)
const runs = { numRuns: defaultRuns() }
const indexOf = ({ events }: ReplayedTimeline, kind: GuestEvent["_tag"]): number =>
  events.findIndex(({ _tag }) => _tag === kind)

describe("generated timelines", () => {
  it(
    "hold-valid-events-numbered-without-gaps-in-the-order-of-time",
    () => {
      fc.assert(
        fc.property(timeline, ({ end, events }) => {
          events.forEach((event, index) => {
            assert.isTrue(isEvent(event), JSON.stringify(event))
            assert.strictEqual(event.seq, index)
            assert.isAtLeast(event.atNanos, events[index - 1]?.atNanos ?? 0)
          })
          if (end !== null && end !== undefined) assert.isAtLeast(end.atNanos, events.at(-1)?.atNanos ?? 0)
        }),
        runs
      )
    },
    longestLawMillis()
  )

  it(
    "are-recordings-that-read-back",
    () => {
      fc.assert(
        fc.property(timeline, (line) => {
          const read = Result.getOrThrow(decodeTimeline(encodeTimeline(asRecording(line))))
          assert.deepStrictEqual(read.events, line.events)
        }),
        runs
      )
    },
    longestLawMillis()
  )

  it(
    "that-are-realistic-announce-a-workload-before-it-does-anything",
    () => {
      fc.assert(
        fc.property(realisticTimeline, (line) => {
          const [ready, announced] = [indexOf(line, "AgentReady"), indexOf(line, "WorkloadPreExec")]
          for (const kind of ["ListenerBound", "WorkloadParked", "WorkloadExited"] as const) {
            const at = indexOf(line, kind)
            if (at >= 0) assert.isTrue(ready >= 0 && ready < announced && announced < at, kind)
          }
        }),
        runs
      )
    },
    longestLawMillis()
  )

  it("that-are-realistic-include-every-fate-of-a-workload", () => {
    const seen = new Set(
      fc.sample(realisticTimeline, { numRuns: 500, seed: 1 }).flatMap(({ events }) => events.map(({ _tag }) => _tag))
    )
    for (const kind of [
      "ListenerBound",
      "WorkloadParked",
      "WorkloadExited",
      "GuestPanicked",
      "IoStarted",
      "PagesDirtied"
    ] as const)
      assert.isTrue(seen.has(kind), kind)
  })

  it("that-are-any-close-listeners-that-are-open-and-others", () => {
    let [open, unknown] = [0, 0]
    for (const { events } of fc.sample(anyTimeline(), { numRuns: 3000, seed: 1 })) {
      for (const [index, event] of events.entries()) {
        if (event._tag !== "ListenerClosed") continue
        const { openListeners } = activityAfter(noActivity, events.slice(0, index))
        if (openListeners.some((bound) => isSameListener(bound, event))) open += 1
        else unknown += 1
      }
    }
    assert.isAbove(open, 50)
    assert.isAbove(unknown, 50)
  })

  it("that-are-damaged-are-not-what-a-machine-makes", () => {
    const isBroken = ({ events }: ReplayedTimeline): boolean =>
      events.some(({ atNanos, seq }, index) => seq !== index || atNanos < (events[index - 1]?.atNanos ?? 0))
    assert.isTrue(fc.sample(damagedTimeline, { numRuns: 200, seed: 1 }).some(isBroken))
  })

  it("shrink-to-the-one-event-that-matters", () => {
    const failed = fc.check(
      fc.property(anyTimeline(), (line) => indexOf(line, "ListenerBound") < 0),
      { numRuns: 10_000, seed: 1 }
    )
    assert.isTrue(failed.failed)
    assert.strictEqual(failed.counterexample?.[0].events.length, 1)
  })

  it(
    "hold-every-event-that-a-policy-may-wait-for",
    () => {
      fc.assert(
        fc.property(eventBody, (body) => isEvent({ ...body, seq: 0, atNanos: 0 })),
        runs
      )
    },
    longestLawMillis()
  )
})

describe("generated policies", () => {
  it("are-bounded-and-shrink-to-a-single-trigger", () => {
    const size = (value: unknown): number =>
      typeof value === "object" && value !== null
        ? Object.values(value).reduce((sum: number, inner) => sum + size(inner), "trigger" in value ? 1 : 0)
        : 0
    const largest = fc.sample(policy(), { numRuns: 1000, seed: 1 }).map(({ description }) => size(description))
    assert.isAbove(Math.max(...largest), 5)
    assert.isBelow(Math.max(...largest), 200)
    const failed = fc.check(
      fc.property(policy(), ({ description }) => !JSON.stringify(description).includes("onParked")),
      { numRuns: 10_000, seed: 1 }
    )
    assert.deepStrictEqual(failed.counterexample?.[0].description, { trigger: "onParked" })
  })
})
