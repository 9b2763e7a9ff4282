import { mkdirSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it, layer as withLayer } from "@effect/vitest"
import { DurableFiles, SnapshotStore } from "@stillpoint/core"
import { publishSample, snapshotStoreLaws } from "@stillpoint/core/testing"
import { Effect, Fiber, Layer } from "effect"
import * as NativeFiles from "../src/NativeFiles.ts"
import { folder } from "./guests.ts"

const layer = Layer.provideMerge(SnapshotStore.layer, NativeFiles.layer)

describe("a store on files that change places", () => {
  for (const [index, { name }] of snapshotStoreLaws("/").entries()) {
    it.live(name, () =>
      Effect.gen(function* () {
        const law = snapshotStoreLaws(yield* folder)[index]
        if (law !== undefined) yield* law.check
      }).pipe(Effect.scoped, Effect.provide(layer))
    )
  }

  withLayer(layer, { excludeTestServices: true, timeout: 120_000 })((it) => {
    it.effect("changes-directories-in-one-step-and-says-what-went-wrong", () =>
      Effect.gen(function* () {
        const files = yield* DurableFiles
        const root = yield* folder
        const [one, other] = [join(root, "one"), join(root, "other")]
        mkdirSync(one)
        mkdirSync(other)
        mkdirSync(join(one, "in-one"))
        if (!(yield* files.exchange(one, other))) return yield* Effect.logWarning("skipped: the file system cannot")
        assert.deepStrictEqual([readdirSync(one), readdirSync(other)], [[], ["in-one"]])
        const fault = yield* Effect.flip(files.exchange(one, join(root, "none")))
        assert.deepInclude(fault, { operation: "exchange", path: one, code: "ENOENT" })
      })
    )

    it.effect("shows-a-reader-the-old-snapshot-or-the-new-one-at-every-moment", () =>
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
      })
    )
  })
})
