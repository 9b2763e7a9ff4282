import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises"
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

describe("a path without links", () => {
  const codeFor = (path: string) =>
    Effect.map(Effect.flip(hostFiles.resolve(path)), (fault) => (fault._tag === "FileFault" ? fault.code : fault))

  it.live("is-found-by-as-many-links-as-the-kernel-follows-and-by-no-more", () =>
    Effect.gen(function* () {
      const where = yield* Effect.flatMap(folder, (path) => Effect.promise(() => realpath(path)))
      yield* Effect.promise(async () => {
        for (let at = 1; at <= 41; at += 1) await symlink(`link-${at - 1}`, join(where, `link-${at}`))
      })
      assert.strictEqual(yield* hostFiles.resolve(join(where, "link-40/inside")), join(where, "link-0/inside"))
      assert.strictEqual(yield* codeFor(join(where, "link-41/inside")), "ELOOP")
      // Also where no link leads to the next.
      yield* Effect.promise(async () => {
        await mkdir(join(where, "here"))
        await symlink(".", join(where, "here/again"))
      })
      const again = (times: number) => join(where, "here", "again/".repeat(times), "nothing")
      assert.strictEqual(yield* hostFiles.resolve(again(40)), join(where, "here/nothing"))
      assert.strictEqual(yield* codeFor(again(41)), "ELOOP")
    })
  )

  it.live("is-no-longer-than-a-path-can-be", () =>
    Effect.gen(function* () {
      const where = yield* Effect.flatMap(folder, (path) => Effect.promise(() => realpath(path)))
      const most = join(where, "a/".repeat(3000)).slice(0, 4094)
      assert.strictEqual(yield* hostFiles.resolve(`${most}b`), `${most}b`)
      assert.strictEqual(yield* codeFor(`${most}bc`), "ENAMETOOLONG")
      assert.strictEqual(yield* codeFor(join(where, "a/".repeat(20_000))), "ENAMETOOLONG")
    })
  )

  it.live("goes-up-from-where-a-link-leads", () =>
    Effect.gen(function* () {
      const where = yield* Effect.flatMap(folder, (path) => Effect.promise(() => realpath(path)))
      yield* Effect.promise(async () => {
        await mkdir(join(where, "far/inner"), { recursive: true })
        await symlink("far/inner", join(where, "near"))
        await symlink("near/../new", join(where, "link"))
      })
      assert.strictEqual(yield* hostFiles.resolve(join(where, "link")), join(where, "far/new"))
    })
  )
})
