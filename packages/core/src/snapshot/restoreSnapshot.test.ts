import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { RestoreError } from "../MachineErrors.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { type RestoreChain, Vmm } from "../Vmm.ts"
import type { Manifest } from "./Manifest.ts"
import { restoreSnapshot } from "./restoreSnapshot.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const unrestored = new RestoreError({ reason: { _tag: "SnapshotMissing", message: "as a test has it" } })

describe("a snapshot that is restored", () => {
  it.effect("finds-its-disks-where-a-function-says-of-its-manifest-and-refuses-one-that-says-nothing", () => {
    const asked: Array<RestoreChain["diskSources"]> = []
    const vmm = Layer.mock(Vmm, {
      restore: (_directory, chain) => {
        asked.push(chain?.diskSources)
        return Effect.fail(unrestored)
      }
    })
    return Effect.gen(function* () {
      yield* publishSample("/s/disks", "disks")
      const snapshot = yield* (yield* SnapshotStore).open("/s/disks")
      const refusal = (diskSources: unknown) =>
        Effect.flip(
          Effect.scoped(
            restoreSnapshot(snapshot, { diskSources: diskSources as () => Readonly<Record<string, string>> })
          )
        )
      assert.strictEqual(yield* refusal(({ digest }: Manifest) => ({ image: `/images/${digest}` })), unrestored)
      assert.strictEqual(yield* refusal({ image: "/image" }), unrestored)
      assert.deepStrictEqual(asked.splice(0), [{ image: `/images/${snapshot.manifest.digest}` }, { image: "/image" }])
      const wrong = () => {
        throw new Error("no disks here")
      }
      for (const nothing of [() => undefined, () => "/image", () => ({ image: 1 }), async () => ({}), wrong]) {
        const { reason } = yield* refusal(nothing)
        assert.strictEqual(reason._tag, "DiskUnknown")
      }
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.provide([vmm, Layer.provideMerge(SnapshotStore.layer, new MemoryFiles().layer)]))
  })
})
