import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { GuestEventKind } from "../GuestEvent.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import { Journal } from "../journal/Journal.ts"
import { listRuns, loadRun } from "../run/runStream.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { type ScriptLine, serviceScript } from "../testing/guestScript.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import type { Trigger } from "../Trigger.ts"
import * as Pipeline from "./Pipeline.ts"

const spec = { kernelPath: "/kernel" }

/** A guest whose disk fails once at that time. */
const failingAt = (atNanos: number): ReadonlyArray<ScriptLine> => [
  ...serviceScript,
  {
    atNanos,
    event: {
      _tag: "DiskFailed",
      disk: "data",
      operation: "flush",
      offset: 0,
      bytes: 0,
      reason: "Refused",
      errno: 28,
      message: "/volumes/data: No space left on device"
    }
  }
]

const host = (script: ReadonlyArray<ScriptLine>, files = new MemoryFiles()) =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer({ script }), SnapshotStore.layer, Journal.layerMemory),
    files.layer
  )

const listenerAt = serviceScript.find(({ event }) => event._tag === "ListenerBound")?.atNanos ?? 0

/** Fires at a kind of event, and then lets the guest run for half a second, as a wait for calm does. */
const calm = (kind: GuestEventKind): Trigger => {
  const plain = kindTrigger(kind)
  return {
    ...plain,
    await: Effect.tap(plain.await, (firing) =>
      Effect.flatMap(GuestTimeline, (timeline) => timeline.advance({ kinds: [], atNanos: firing.atNanos + 500e6 }))
    )
  }
}

describe("a guest whose disk fails", () => {
  const files = new MemoryFiles()

  it.effect("on-the-way-to-its-capture-is-not-published", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const open = scriptedMachines.open
        const error = yield* Effect.flip(
          Effect.scoped(Pipeline.run(spec, { policy: calm("ListenerBound"), target: "/s/failed" }))
        )
        assert(error._tag === "GuestDiskFailed")
        assert.deepStrictEqual(
          [error.disk, error.operation, error.why, error.errno, error.atNanos],
          ["data", "flush", "Refused", 28, listenerAt + 200e6]
        )
        assert.include(error.message, "nothing was published")
        const [runId = ""] = yield* listRuns
        assert.strictEqual((yield* loadRun(runId)).state.phase, "failed")
        assert.deepStrictEqual(
          files.paths().filter((path) => path.startsWith("/s/")),
          []
        )
        assert.strictEqual(scriptedMachines.open, open)
      })
    ).pipe(Effect.provide(host(failingAt(listenerAt + 200e6), files)))
  )

  it.effect("before-that-or-as-what-the-policy-waits-for-is-captured", () =>
    Effect.scoped(
      Effect.gen(function* () {
        yield* Effect.scoped(Pipeline.run(spec, { policy: calm("ListenerBound"), target: "/s/before" }))
        const { value } = yield* Effect.scoped(
          Pipeline.run(spec, { policy: kindTrigger("DiskFailed"), target: "/s/cause" })
        )
        assert.strictEqual(value.firing.atNanos, listenerAt - 1)
      })
    ).pipe(Effect.provide(host(failingAt(listenerAt - 1))))
  )
})
