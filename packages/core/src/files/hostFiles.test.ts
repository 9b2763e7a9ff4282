import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createHash } from "node:crypto"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { hostFiles } from "./hostFiles.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-digest-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const pieceBytes = 1 << 20

describe("the digest of a file", () => {
  it.live("is-that-of-all-its-bytes-at-any-size", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "file")
      const sizes = fc.oneof(
        fc.nat({ max: 4 }),
        fc.nat({ max: 64 * 1024 }),
        fc.integer({ min: pieceBytes - 2, max: pieceBytes + 2 }),
        fc.integer({ min: 2 * pieceBytes - 2, max: 2 * pieceBytes + 2 })
      )
      yield* Effect.promise(() =>
        fc.assert(
          fc.asyncProperty(sizes, fc.integer({ min: 1, max: 255 }), async (sizeBytes, step) => {
            const bytes = new Uint8Array(sizeBytes)
            for (let at = 0; at < sizeBytes; at += 1) bytes[at] = at * step
            await writeFile(path, bytes)
            const found = await Effect.runPromise(hostFiles.digest(path, 4 * pieceBytes))
            assert.deepStrictEqual(found, { sha256: createHash("sha256").update(bytes).digest("hex"), sizeBytes })
          }),
          { numRuns: 24 }
        )
      )
    })
  )

  it.live("of-a-small-one-takes-little-memory", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "file")
      yield* Effect.promise(() => writeFile(path, "small"))
      const before = process.memoryUsage().arrayBuffers
      for (let time = 0; time < 8; time++) yield* hostFiles.digest(path, pieceBytes)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 4 * pieceBytes)
    })
  )
})
