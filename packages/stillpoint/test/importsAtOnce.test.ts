/** Imports of one lineage at once, some of which fail: they lose nothing of those that succeed. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableFiles, Snapshots, SnapshotStore } from "@stillpoint/core"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { exportSnapshot, importSnapshot } from "stillpoint"
import { assert, it } from "vitest"
import { keepLineage } from "./keepLineage.ts"

const storeAt = (home: string) =>
  Layer.mergeAll(
    Snapshots.layerHost({ home }),
    Layer.provide(SnapshotStore.layer, DurableFiles.layer),
    DurableFiles.layer
  )

const inStore = <A, E>(home: string, work: Effect.Effect<A, E, Snapshots | SnapshotStore | DurableFiles>) =>
  Effect.runPromise(Effect.provide(work, storeAt(home), { local: true }))

const nobodys = `sha256:${"0".repeat(64)}`

it("an-import-that-fails-takes-nothing-from-another-one-of-the-same-snapshots", async () => {
  const folder = mkdtempSync(join(tmpdir(), "stillpoint-at-once-"))
  const at = (name: string): string => {
    mkdirSync(join(folder, name), { mode: 0o700, recursive: true })
    return join(folder, name)
  }
  const counted = { runs: 0, failedBefore: 0, failedAfter: 0 }
  try {
    const { digest, parent } = await inStore(at("from"), keepLineage)
    const archive = join(folder, "both.tar")
    await inStore(at("from"), exportSnapshot("web", archive))
    const failing = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 3 })
    await fc.assert(
      fc.asyncProperty(failing, fc.integer({ min: 0, max: 60 }), async (delays, own) => {
        const home = at(`to-${(counted.runs += 1)}`)
        let isTaken = false
        const [taken, ...refused] = await Promise.all([
          inStore(home, Effect.result(Effect.delay(importSnapshot(archive, "theirs"), own))).then((result) => {
            isTaken = true
            return result
          }),
          ...delays.map(async (delay) => {
            const named = importSnapshot(archive, "other", { expecting: nobodys })
            const outcome = await inStore(home, Effect.result(Effect.delay(named, delay)))
            counted[isTaken ? "failedAfter" : "failedBefore"] += 1
            return outcome
          })
        ])
        assert(refused.every(Result.isFailure))
        assert(Result.isSuccess(taken), Result.isFailure(taken) ? String(taken.failure) : "")
        const all = await inStore(
          home,
          Snapshots.use(({ list }) => list)
        )
        assert.sameMembers(
          all.map((one) => one.digest),
          [digest, parent]
        )
        assert.deepStrictEqual(
          all.flatMap(({ problem }) => problem ?? []),
          []
        )
        rmSync(home, { recursive: true, force: true })
      }),
      { numRuns: 25 }
    )
    assert.isAbove(counted.failedBefore, 3)
    assert.isAbove(counted.failedAfter, 3)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
