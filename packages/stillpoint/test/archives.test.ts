/** Archives that were cut, damaged or made by somebody who means harm. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DurableFiles, Snapshots, SnapshotStore } from "@stillpoint/core"
import { publishSample } from "@stillpoint/core/testing"
import { Effect, Layer, Result } from "effect"
import * as fc from "fast-check"
import { exportSnapshot, importSnapshot } from "stillpoint"
import { assert, describe, it } from "vitest"

const storeAt = (home: string) =>
  Layer.mergeAll(Snapshots.layerHost({ home }), SnapshotStore.layerHost, DurableFiles.layer)

const inStore = <A, E>(home: string, work: Effect.Effect<A, E, Snapshots | SnapshotStore | DurableFiles>) =>
  Effect.runPromise(Effect.provide(work, storeAt(home), { local: true }))

const keepSample = Effect.scoped(
  Effect.gen(function* () {
    const snapshots = yield* Snapshots
    const directory = yield* snapshots.draft
    yield* publishSample(directory, "sample", { verdict: "passed" })
    return yield* snapshots.keep(directory, "sample")
  })
)

/** What is done to an archive: bytes exchanged, cut off, taken out or put in. */
const damage = fc.oneof(
  fc.record({ how: fc.constant("flip" as const), at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ how: fc.constant("cut" as const), at: fc.nat() }),
  fc.record({ how: fc.constant("drop" as const), at: fc.nat(), blocks: fc.integer({ min: 1, max: 6 }) }),
  fc.record({ how: fc.constant("repeat" as const), at: fc.nat(), blocks: fc.integer({ min: 1, max: 6 }) })
)

const damaged = (archive: Uint8Array, one: typeof damage extends fc.Arbitrary<infer A> ? A : never): Uint8Array => {
  const at = one.at % archive.byteLength
  const block = at - (at % 512)
  switch (one.how) {
    case "flip": {
      const changed = Uint8Array.from(archive)
      changed[at] = (changed[at] ?? 0) ^ one.by
      return changed
    }
    case "cut":
      return archive.subarray(0, at)
    case "drop":
      return Buffer.concat([archive.subarray(0, block), archive.subarray(block + 512 * one.blocks)])
    case "repeat": {
      const end = block + 512 * one.blocks
      return Buffer.concat([archive.subarray(0, end), archive.subarray(block)])
    }
  }
}

describe("archives of snapshots", () => {
  it("a-damaged-archive-is-refused-or-is-the-same-snapshot-and-nothing-else-is-left", async () => {
    const folder = mkdtempSync(join(tmpdir(), "stillpoint-archives-"))
    try {
      const from = join(folder, "from")
      const { digest } = await inStore(from, keepSample)
      const path = join(folder, "sample.tar")
      await inStore(from, exportSnapshot("sample", path))
      const archive = readFileSync(path)
      const seen = { refused: 0, taken: 0 }
      let index = 0
      await fc.assert(
        fc.asyncProperty(damage, async (one) => {
          const home = join(folder, `home-${index++}`)
          mkdirSync(home, { mode: 0o700 })
          const other = join(folder, "damaged.tar")
          writeFileSync(other, damaged(archive, one))
          const outcome = await inStore(home, Effect.result(importSnapshot(other, "again")))
          const found = await inStore(
            home,
            Snapshots.use(({ list }) => list)
          )
          if (Result.isFailure(outcome)) {
            seen.refused += 1
            assert.notInclude(["", "UnknownError"], outcome.failure.message)
            assert.deepStrictEqual(found, [])
          } else {
            seen.taken += 1
            assert.deepStrictEqual(
              found.map((one) => [one.digest, one.names, one.problem]),
              [[digest, ["again"], null]]
            )
          }
          const others = readdirSync(join(home, "snapshots")).filter((name) => name !== digest)
          assert.deepStrictEqual(others, [])
          assert.deepStrictEqual(
            readdirSync(folder).filter((name) => !/^(from|home-\d+|sample\.tar|damaged\.tar)$/.test(name)),
            []
          )
        }),
        {
          numRuns: 60,
          examples: [
            [{ how: "cut", at: 0 }],
            [{ how: "cut", at: archive.byteLength - 1 }],
            [{ how: "flip", at: 600, by: 1 }],
            // Of what follows its end an archive may have more.
            [{ how: "repeat", at: archive.byteLength - 1, blocks: 1 }]
          ]
        }
      )
      assert.isAbove(seen.refused, 0)
      assert.isAbove(seen.taken, 0)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})
