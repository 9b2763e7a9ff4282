import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as fc from "fast-check"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { snapshotStoreLaws } from "../testing/snapshotStoreLaws.ts"
import { DurableFiles } from "./DurableFiles.ts"
import { Publisher } from "./Leftovers.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const hostDirectory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-store-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("on the host's files", () => {
  for (const [index, { name }] of snapshotStoreLaws("/").entries()) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const directory = yield* hostDirectory
        const law = snapshotStoreLaws(directory)[index]
        if (law !== undefined) yield* law.check
      }).pipe(Effect.provide(Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)))
    )
  }
})

describe.each([true, false])("in memory, exchanging directories: %s", (canExchange) => {
  for (const [index, { name }] of snapshotStoreLaws("/").entries()) {
    it.effect(name, () => {
      const files = new MemoryFiles(null, { canExchange })
      const law = snapshotStoreLaws("/snapshots")[index]
      return (law === undefined ? Effect.void : law.check).pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, files.layer), { local: true })
      )
    })
  }
})

const storeOn = (files: MemoryFiles, pid: number) =>
  Layer.provideMerge(SnapshotStore.layer, files.layer).pipe(
    Layer.provide(Layer.succeed(Publisher, { pid, isAlive: (other: number) => other === pid }))
  )

/** Publishes, loses power at the n-th changing operation, starts again, and says what stands at the target. */
const crashAt = (
  atOperation: number,
  choices: ReadonlyArray<number>,
  options: { readonly withOld: boolean; readonly canExchange: boolean }
) =>
  Effect.gen(function* () {
    const { canExchange, withOld } = options
    const files = new MemoryFiles(null, { canExchange })
    if (withOld) yield* publishSample("/s/target", "old").pipe(Effect.provide(storeOn(files, 1), { local: true }))
    else yield* files.shape.makeDirectory("/s").pipe(Effect.andThen(files.shape.flushDirectory("/")), Effect.ignore)
    files.injectFault({ atOperation: files.operations + atOperation, code: "crash" })
    const exit = yield* publishSample("/s/target", "new", { replace: true }).pipe(
      Effect.exit,
      Effect.provide(storeOn(files, 2), { local: true })
    )
    let next = 0
    files.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
    return yield* Effect.gen(function* () {
      const store = yield* SnapshotStore
      const before = yield* Effect.result(store.open("/s/target"))
      yield* store.sweep("/s")
      const after = yield* Effect.result(store.open("/s/target"))
      return { exit, before, after, names: files.paths() }
    }).pipe(Effect.provide(storeOn(files, 3), { local: true }))
  })

describe("faults", () => {
  it.effect("a-crash-at-any-operation-leaves-the-old-snapshot-or-the-new-one", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 24 }),
          fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 12 }),
          fc.record({ withOld: fc.boolean(), canExchange: fc.boolean() }),
          async (at, choices, options) => {
            const { withOld } = options
            const { after, before, exit, names } = await Effect.runPromise(crashAt(at, choices, options))
            const found = after._tag === "Success" ? after.success.manifest.runId : null
            if (withOld) assert.include(["old", "new"], found)
            else if (after._tag === "Failure") assert.strictEqual(after.failure.reason._tag, "SnapshotMissing")
            else assert.strictEqual(found, "new")
            // Acknowledged is durable; and opening before the sweep tells the same as after it.
            if (exit._tag === "Success") assert.strictEqual(found, "new")
            assert.strictEqual(before._tag === "Success" ? before.success.manifest.runId : null, found)
            assert.deepStrictEqual(
              names.filter((name) => /\.(staging|replaced)-/.test(name)),
              []
            )
          }
        ),
        { numRuns: 2_000 }
      )
    )
  )

  it.effect("a-failing-operation-leaves-the-target-as-it-was-and-nothing-behind", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 24 }),
          fc.constantFrom("ENOSPC" as const, "EIO" as const, "EROFS" as const),
          fc.record({ withOld: fc.boolean(), canExchange: fc.boolean() }),
          async (at, code, { canExchange, withOld }) => {
            const files = new MemoryFiles(null, { canExchange })
            const publishAndLook = Effect.gen(function* () {
              if (withOld) yield* publishSample("/s/target", "old")
              files.injectFault({ atOperation: files.operations + at, code })
              const result = yield* Effect.result(publishSample("/s/target", "new", { replace: withOld }))
              const opened = yield* Effect.result((yield* SnapshotStore).open("/s/target"))
              return { result, opened }
            }).pipe(Effect.provide(storeOn(files, 1), { local: true }))
            const { opened, result } = await Effect.runPromise(publishAndLook)
            const found = opened._tag === "Success" ? opened.success.manifest.runId : null
            if (result._tag === "Success") assert.strictEqual(found, "new")
            else assert.strictEqual(found, withOld ? "old" : null)
            const isRemovalFault = files.lastFault?.operation === "removeTree"
            if (!isRemovalFault)
              assert.deepStrictEqual(
                files.paths().filter((name) => name.includes(".staging-")),
                []
              )
          }
        ),
        { numRuns: 1_000 }
      )
    )
  )
})
