import { assert, describe, it } from "@effect/vitest"
import { DurableFiles } from "@stillpoint/core"
import { MemoryFiles } from "@stillpoint/core/testing"
import { Effect, Option, Result } from "effect"
import * as fc from "fast-check"
import { lstat, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import {
  type KitCache,
  loadSubstitute,
  loadUnpacked,
  makeStaging,
  storeSubstitute,
  storeUnpacked,
  sweep
} from "./KitCache.ts"
import { type KitLock, type LockedPackage, readLock, writeLock } from "./KitLock.ts"

const item: LockedPackage = {
  name: "busybox-static",
  version: "1:1.37.0-6",
  filename: "pool/main/b/busybox/busybox-static_1.37.0-6_riscv64.deb",
  sizeBytes: 7,
  sha256: "ab".repeat(32)
}
const contents = new Map([
  ["busybox", new TextEncoder().encode("busybox")],
  ["module", new Uint8Array([1, 2, 3])]
])

const store = (cache: KitCache) =>
  Effect.scoped(Effect.flatMap(makeStaging(cache), (staging) => storeUnpacked(cache, staging, item, contents)))

const load = (cache: KitCache) => loadUnpacked(cache, item.sha256, () => {})

/** Operations of storing one package, and some beyond. */
const mostOperations = 40

describe("faults", () => {
  it.effect("a-package-is-there-whole-or-not-at-all-whenever-power-is-lost-or-the-disk-is-full", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat(mostOperations),
          fc.constantFrom("crash" as const, "ENOSPC" as const, "EIO" as const),
          fc.array(fc.nat(), { minLength: 1 }),
          async (atOperation, code, choices) => {
            const memory = new MemoryFiles({ atOperation, code })
            const cache: KitCache = { directory: "/home/cache", files: memory.shape }
            let next = 0
            const after = Effect.gen(function* () {
              const stored = yield* Effect.result(store(cache))
              memory.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
              const kept = yield* load(cache)
              // A file that was reported as stored is there.
              if (Result.isSuccess(stored)) assert.isTrue(Option.isSome(kept))
              if (Option.isSome(kept)) {
                for (const [name, bytes] of contents) {
                  assert.deepStrictEqual(yield* cache.files.read(kept.value.get(name) ?? "", 100), bytes)
                }
              }
              yield* store(cache)
              assert.isTrue(Option.isSome(yield* load(cache)))
              yield* sweep(cache)
              assert.deepStrictEqual(
                memory.paths().filter((path) => path.includes(".stillpoint-")),
                []
              )
            })
            await Effect.runPromise(after)
          }
        ),
        { numRuns: 500 }
      )
    )
  )

  it.effect("a-lock-and-a-substitute-are-the-old-ones-or-the-new-ones", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat(12),
          fc.constantFrom("crash" as const, "ENOSPC" as const, "EIO" as const),
          fc.array(fc.nat(), { minLength: 1 }),
          async (atOperation, code, choices) => {
            const memory = new MemoryFiles()
            const cache: KitCache = { directory: "/cache", files: memory.shape }
            const lock = (part: LockedPackage): KitLock => ({
              formatVersion: 1,
              suite: "trixie",
              architecture: "riscv64",
              kernel: part,
              busybox: part
            })
            const newer = { ...item, version: "2" }
            let next = 0
            const after = Effect.gen(function* () {
              yield* storeSubstitute(cache, item.sha256, item)
              yield* writeLock(cache.files, "/cache/lock.json", lock(item))
              memory.injectFault({ atOperation: memory.operations + atOperation, code })
              const stored = yield* Effect.result(storeSubstitute(cache, item.sha256, newer))
              const written = yield* Effect.result(writeLock(cache.files, "/cache/lock.json", lock(newer)))
              memory.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
              const substitute = Option.getOrThrow(yield* loadSubstitute(cache, item.sha256))
              const { busybox } = yield* readLock(cache.files, "/cache/lock.json")
              for (const [found, done] of [
                [substitute, stored],
                [busybox, written]
              ] as const) {
                assert.include(Result.isSuccess(done) ? ["2"] : [item.version, "2"], found.version)
              }
            })
            await Effect.runPromise(after)
          }
        ),
        { numRuns: 300 }
      )
    )
  )
})

for (const [umask, file, folder] of [
  [0o000, 0o644, 0o755],
  [0o022, 0o644, 0o755],
  [0o077, 0o600, 0o700]
] as const) {
  it.effect(`with-a-umask-of-${umask.toString(8)}-others-may-read-as-far-as-it-lets-them-and-never-write`, () =>
    Effect.gen(function* () {
      const root = yield* Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint é kit ")))
      const before = process.umask(umask)
      yield* Effect.addFinalizer(() =>
        Effect.promise(() => {
          process.umask(before)
          return rm(root, { recursive: true, force: true })
        })
      )
      const cache: KitCache = { directory: join(root, "new/cache"), files: yield* DurableFiles }
      const stored = yield* store(cache)
      yield* storeSubstitute(cache, item.sha256, item)
      const busybox = stored.get("busybox") ?? ""
      assert.strictEqual(yield* Effect.promise(() => readFile(busybox, "utf8")), "busybox")
      const modeOf = (path: string) => Effect.promise(() => lstat(path).then(({ mode }) => mode & 0o777))
      for (const path of [busybox, join(cache.directory, "substitutes", `${item.sha256}.json`)]) {
        assert.strictEqual(yield* modeOf(path), file)
        assert.strictEqual(yield* modeOf(dirname(path)), folder)
      }
      assert.strictEqual(yield* modeOf(join(root, "new")), folder)
    }).pipe(Effect.provide(DurableFiles.layer))
  )
}
