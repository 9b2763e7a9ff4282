import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { describe } from "vitest"
import type { GuestEvent } from "../GuestEvent.ts"
import { Vmm } from "../Vmm.ts"
import type { RecordedTimeline } from "./RecordedTimeline.ts"
import { ReplayVmm } from "./ReplayVmm.ts"
import { timelineVersion } from "./TimelineHeader.ts"

const timeline = (reason: "time" | "halted" | "idle"): RecordedTimeline => ({
  header: {
    format: "stillpoint-timeline",
    version: timelineVersion,
    engine: "soft",
    kernelDigest: null,
    initrdDigest: null,
    configuration: { memoryMib: 64 },
    seed: 0,
    firstSeq: 0
  },
  events: [
    { _tag: "GuestBusy", seq: 0, atNanos: 10 },
    { _tag: "HeartbeatTick", seq: 1, atNanos: 20, count: 1 },
    { _tag: "HeartbeatTick", seq: 2, atNanos: 30, count: 2 }
  ],
  end: { _tag: "TimelineEnd", atNanos: 50, reason, events: 3 },
  torn: null
})

const booted = (reason: "time" | "halted" | "idle") =>
  Effect.gen(function* () {
    return yield* (yield* Vmm).boot({ kernelPath: "unused" })
  }).pipe(Effect.provide(ReplayVmm.layer(timeline(reason))))

describe("a machine over a recording", () => {
  it.effect("stops-at-kinds-and-times-as-a-machine-does", () =>
    Effect.gen(function* () {
      const machine = yield* booted("time")
      assert.strictEqual(machine.memoryMib, 64)
      assert.deepStrictEqual(yield* machine.run({ atNanos: 15 }), { reason: "time", seq: null, atNanos: 15 })
      assert.deepStrictEqual(
        (yield* machine.eventsSoFar()).map(({ seq }) => seq),
        [0]
      )
      assert.deepStrictEqual(yield* machine.run({ kinds: ["HeartbeatTick"] }), { reason: "event", seq: 1, atNanos: 20 })
      assert.deepStrictEqual(yield* machine.run({ budgetNanos: 5 }), { reason: "budget", seq: null, atNanos: 25 })
      assert.deepStrictEqual(yield* machine.run({ kinds: ["ListenerBound"] }), {
        reason: "budget",
        seq: null,
        atNanos: 50
      })
      const past = yield* Effect.flip(machine.run({}))
      assert.strictEqual(past.reason._tag, "RecordingEnded")
    })
  )

  it.effect("a-recorded-end-is-the-end-of-every-run", () =>
    Effect.gen(function* () {
      const halted = yield* booted("halted")
      assert.strictEqual((yield* halted.run({})).reason, "halted")
      assert.strictEqual((yield* halted.run({ atNanos: 90 })).reason, "halted")
      const resting = yield* booted("idle")
      assert.strictEqual((yield* resting.run({})).reason, "idle")
      assert.deepStrictEqual(yield* resting.run({ atNanos: 90 }), { reason: "time", seq: null, atNanos: 90 })
    })
  )

  it.effect("subscribers-see-every-event-once-however-late-they-come", () =>
    Effect.gen(function* () {
      const machine = yield* booted("time")
      const early: Array<GuestEvent> = []
      const late: Array<number> = []
      machine.events$.subscribe((event) => early.push(event))
      yield* machine.run({ atNanos: 25 })
      machine.eventsFrom(1).subscribe(({ seq }) => late.push(seq))
      yield* machine.run({})
      assert.deepStrictEqual(
        early.map(({ seq }) => seq),
        [0, 1, 2]
      )
      assert.deepStrictEqual(late, [1, 2])
    })
  )

  it.effect("a-fork-goes-on-by-itself-and-equal-positions-have-equal-digests", () =>
    Effect.gen(function* () {
      const machine = yield* booted("time")
      yield* machine.run({ atNanos: 25 })
      const fork = yield* machine.fork
      assert.strictEqual(yield* fork.digest, yield* machine.digest)
      yield* fork.run({})
      assert.notStrictEqual(yield* fork.digest, yield* machine.digest)
      assert.strictEqual(yield* machine.nowNanos, 25)
    })
  )
})
