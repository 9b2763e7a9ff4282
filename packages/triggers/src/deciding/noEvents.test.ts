import { assert, it } from "@effect/vitest"
import type { GuestEvent } from "@stillpoint/core"
import { Result } from "effect"
import * as fc from "fast-check"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { PolicyError } from "../PolicyError.ts"
import { type ReplayedTimeline, replay } from "./replayPolicy.ts"

const policies = [
  onListener(),
  onPreExec(),
  onSerialMatch("x"),
  atHeartbeat(1),
  onIdle("1 millis"),
  quiesce(onListener(), { calmFor: "5 millis", deadline: "1 second" })
]

const events: ReadonlyArray<GuestEvent> = [
  { _tag: "ListenerBound", seq: 0, atNanos: 5, protocol: "tcp", address: "::", port: 80 },
  { _tag: "ListenerClosed", seq: 0, atNanos: 5, protocol: "tcp", address: "::", port: 80 },
  { _tag: "WorkloadPreExec", seq: 0, atNanos: 5, argv: ["x"], holdNanos: 5 },
  { _tag: "SerialLine", seq: 0, atNanos: 5, port: 0, text: "x" },
  { _tag: "HeartbeatTick", seq: 0, atNanos: 5, count: 1 },
  { _tag: "IoStarted", seq: 0, atNanos: 5, device: "disk" },
  { _tag: "GuestIdle", seq: 0, atNanos: 5 }
]

const rubbish = fc.constantFrom<unknown>(
  undefined,
  null,
  0,
  -1,
  Number.NaN,
  Infinity,
  "",
  "sctp",
  {},
  [],
  () => 1,
  Symbol("x"),
  2n,
  true,
  Object.create(null)
)

it("an-event-with-any-field-that-cannot-be-is-decided-on-or-refused-by-its-place", () => {
  let refusals = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...policies),
      fc.constantFrom(...events),
      fc.nat(8),
      rubbish,
      fc.boolean(),
      (policy, event, field, value, isSecond) => {
        const fields = Object.keys(event)
        const spoiled = { ...event, [fields[field % fields.length] ?? ""]: value } as GuestEvent
        const timeline: ReplayedTimeline = {
          events: isSecond ? [event, spoiled] : [spoiled],
          end: { atNanos: 2e9, reason: "time" }
        }
        try {
          assert.isTrue(Result.isResult(replay(policy, timeline)))
        } catch (error) {
          assert(error instanceof PolicyError, String(error))
          assert.match(error.message, /^Trigger\.replay\.events\.[01]: expected an event of a guest/)
          refusals += 1
        }
      }
    ),
    { numRuns: 2000 }
  )
  assert.isAbove(refusals, 0)
})

it("what-came-before-or-from-probes-and-cannot-be-is-decided-on-or-refused-by-its-place", () => {
  let refusals = 0
  fc.assert(
    fc.property(
      fc.constantFrom(...policies),
      fc.oneof(rubbish, fc.array(rubbish, { maxLength: 2 })),
      fc.boolean(),
      (policy, value, isBefore) => {
        const spoiled = isBefore ? { header: { beginning: value } } : { signals: value }
        try {
          assert.isTrue(Result.isResult(replay(policy, { events: [], ...spoiled } as unknown as ReplayedTimeline)))
        } catch (error) {
          assert(error instanceof PolicyError, String(error))
          assert.match(error.message, /^Trigger\.replay\.(?:header\.beginning|signals|originNanos)/)
          refusals += 1
        }
      }
    )
  )
  assert.isAbove(refusals, 10)
})
