import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { DurableFiles } from "../files/DurableFiles.ts"
import { Layer } from "effect"
import { SnapshotStore } from "./SnapshotStore.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-replaced-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("a snapshot that is replaced", () => {
  it.live("is-the-old-one-or-the-new-one-for-a-reader-at-every-moment", () =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const target = join(yield* folder, "snapshot")
      yield* publishSample(target, "0")
      const replacing = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 60 }), (_, index) =>
          publishSample(target, `${index + 1}`, { replace: true })
        ),
        { startImmediately: true }
      )
      let latest = 0
      let looks = 0
      while (replacing.pollUnsafe() === undefined) {
        const { manifest } = yield* store.open(target)
        assert.isAtLeast(Number(manifest.runId), latest)
        latest = Number(manifest.runId)
        looks += 1
      }
      yield* Fiber.join(replacing)
      assert.strictEqual((yield* store.open(target)).manifest.runId, "60")
      assert.isAbove(looks, 10)
    }).pipe(Effect.provide(Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)))
  )
})
