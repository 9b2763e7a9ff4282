import { assert, describe, it } from "@effect/vitest"
import { Journal, Pipeline, SnapshotStore } from "@stillpoint/core"
import { MemoryFiles, type ScriptLine, ScriptedVmm } from "@stillpoint/core/testing"
import { Effect, Layer, Stream } from "effect"
import { onListener, onSerialMatch, quiesce, repeat } from "../index.ts"

const spec = { kernelPath: "/kernel" }
const millis = (count: number): number => count * 1e6
const says = (atNanos: number, text: string): ScriptLine => ({
  atNanos,
  event: { _tag: "SerialLine", port: 0, text },
  isWorkload: true
})

/** A workload that announces a listener, ticks, and greets at last: frozen, it does nothing of that. */
const script: ReadonlyArray<ScriptLine> = [
  { atNanos: millis(100), event: { _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6.12.0" } },
  { atNanos: millis(101), event: { _tag: "GuestIdle" } },
  {
    atNanos: millis(200),
    event: { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 8080 },
    isWorkload: true
  },
  ...[300, 400, 500].map((atMillis) => says(millis(atMillis), "tick")),
  says(millis(900), "hello")
]

const host = () =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer({ script }), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

describe("a capture of a workload that its policy froze", () => {
  it.effect("is-followed-by-those-of-a-policy-that-repeats", () =>
    Effect.gen(function* () {
      const taken = yield* Pipeline.repeat(spec, {
        policy: repeat(quiesce(onSerialMatch("tick"), { calmFor: "20 millis" })),
        target: (index) => `/s/tick-${index}`
      }).pipe(Stream.take(3), Stream.runCollect, Effect.scoped)
      const captures = taken.map(({ value }) => value.snapshot.manifest.capture)
      assert.strictEqual(captures.length, 3)
      assert.isTrue(captures.every(({ isWorkloadFrozen }) => isWorkloadFrozen))
      // Each waits for a tick, and the workload ticks on in between.
      const times = captures.map(({ atNanos }) => atNanos)
      assert.deepStrictEqual(
        times.toSorted((a, b) => a - b),
        times
      )
      assert.isAbove(times[2] ?? 0, millis(500))
    }).pipe(Effect.provide(host()))
  )

  it.effect("does-not-keep-the-workload-from-what-another-policy-waits-for", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* Pipeline.sideBySide(spec, [
          { policy: quiesce(onListener(), { calmFor: "20 millis" }), target: "/s/listener" },
          { policy: onSerialMatch("hello"), target: "/s/hello" }
        ])
        assert.strictEqual(first?._tag, "Success")
        assert.strictEqual(second?._tag, "Success")
        const times = [first, second].map((one) =>
          one?._tag === "Success" ? one.success.value.snapshot.manifest.capture.atNanos : 0
        )
        assert.isBelow(times[0] ?? 0, millis(300))
        assert.isAtLeast(times[1] ?? 0, millis(900))
      })
    ).pipe(Effect.provide(host()))
  )
})
