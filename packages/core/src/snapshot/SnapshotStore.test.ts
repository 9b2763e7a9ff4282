import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import * as fc from "fast-check"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { snapshotStoreLaws } from "../testing/snapshotStoreLaws.ts"
import { DurableFiles } from "../files/DurableFiles.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const hostDirectory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-store-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

describe("on the host's files", () => {
  for (const [index, { name }] of snapshotStoreLaws("/").entries()) {
    it.live(name, () =>
      Effect.gen(function* () {
        const directory = yield* hostDirectory
        const law = snapshotStoreLaws(directory)[index]
        if (law !== undefined) yield* law.check
      }).pipe(Effect.provide(Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)))
    )
  }
})

describe("in memory", () => {
  for (const [index, { name }] of snapshotStoreLaws("/").entries()) {
    it.live(name, () => {
      const files = new MemoryFiles()
      const law = snapshotStoreLaws("/snapshots")[index]
      return Effect.andThen(files.shape.makeDirectory("/snapshots"), law === undefined ? Effect.void : law.check).pipe(
        Effect.provide(Layer.provideMerge(SnapshotStore.layer, files.layer), { local: true })
      )
    })
  }
})

const storeOn = (files: MemoryFiles) => Layer.provideMerge(SnapshotStore.layer, files.layer)

/** Maximum number of operations of a publish: faults are put at each of them, and beyond. */
const mostOperations = 60

/** A run of one process on some files; what it holds ends with it, as the kernel sees to. */
const asProcess = <A, E>(files: MemoryFiles, work: Effect.Effect<A, E, SnapshotStore | DurableFiles>) =>
  Effect.provide(work, storeOn(files), { local: true })

const publishOld = publishSample("/s/deep/target", "old")

/** Names of directories that a publisher has made and not given away. */
const unfinished = (files: MemoryFiles) =>
  Effect.runPromise(
    asProcess(
      files,
      Effect.gen(function* () {
        const contents = files.paths().filter((path) => /\/contents-[0-9a-f]{32}$/.test(path))
        const opened = yield* Effect.option((yield* SnapshotStore).open("/s/deep/target"))
        const named = opened._tag === "Some" ? opened.value.layers : []
        return [
          ...files.paths().filter((path) => path.includes("/.stillpoint-")),
          ...contents.filter((path) => !named.includes(path))
        ]
      })
    )
  )

/** Publishes, loses power at the n-th changing operation, starts again, and says what stands at the target. */
const crashAt = (atOperation: number, choices: ReadonlyArray<number>, withOld: boolean) =>
  Effect.gen(function* () {
    const files = new MemoryFiles()
    if (withOld) yield* asProcess(files, publishOld)
    files.injectFault({ atOperation: files.operations + atOperation, code: "crash" })
    const exit = yield* asProcess(
      files,
      Effect.exit(publishSample("/s/deep/target", "new", { replace: true, verdict: "passed" }))
    )
    let next = 0
    files.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
    const seen = yield* asProcess(
      files,
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const before = yield* Effect.result(store.open("/s/deep/target"))
        const report = yield* store.sweep("/s/deep")
        const after = yield* Effect.result(store.open("/s/deep/target"))
        // And whatever was left, the next one publishes.
        return { before, after, report }
      })
    )
    return { exit, files, ...seen }
  })

describe("faults", () => {
  it.effect("are-put-at-every-operation-of-a-publish", () =>
    Effect.gen(function* () {
      for (const withOld of [false, true]) {
        const files = new MemoryFiles()
        if (withOld) yield* asProcess(files, publishOld)
        const [operations, reads] = [files.operations, files.reads]
        yield* asProcess(files, publishSample("/s/deep/target", "new", { replace: true, verdict: "passed" }))
        assert.isBelow(files.operations - operations, mostOperations)
        assert.isBelow(files.reads - reads, mostOperations)
      }
    })
  )

  it.effect("a-crash-at-any-operation-leaves-the-old-snapshot-or-the-new-one", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: mostOperations }),
          fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 12 }),
          fc.boolean(),
          async (at, choices, withOld) => {
            const { after, before, exit, files, report } = await Effect.runPromise(crashAt(at, choices, withOld))
            const found = after._tag === "Success" ? after.success.manifest.runId : null
            if (withOld) assert.include(["old", "new"], found)
            else if (after._tag === "Failure") assert.strictEqual(after.failure.reason._tag, "SnapshotMissing")
            else assert.strictEqual(found, "new")
            // Acknowledged is durable; and opening before the sweep tells the same as after it.
            if (exit._tag === "Success") assert.strictEqual(found, "new")
            assert.strictEqual(before._tag === "Success" ? before.success.manifest.runId : null, found)
            assert.deepStrictEqual(report.failed, [])
            assert.deepStrictEqual(await unfinished(files), [])
          }
        ),
        { numRuns: 1_000 }
      )
    )
  )

  it.effect("a-failing-operation-leaves-the-target-as-it-was-and-nothing-behind", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: mostOperations }),
          fc.constantFrom("ENOSPC" as const, "EIO" as const, "EROFS" as const, "short" as const),
          fc.boolean(),
          async (at, code, withOld) => {
            const files = new MemoryFiles()
            const { opened, result } = await Effect.runPromise(
              asProcess(
                files,
                Effect.gen(function* () {
                  if (withOld) yield* publishOld
                  files.injectFault({ atOperation: (code === "short" ? files.reads : files.operations) + at, code })
                  const result = yield* Effect.result(publishSample("/s/deep/target", "new", { replace: withOld }))
                  files.injectFault()
                  const opened = yield* Effect.result((yield* SnapshotStore).open("/s/deep/target"))
                  return { result, opened }
                })
              )
            )
            const found = opened._tag === "Success" ? opened.success.manifest.runId : null
            if (result._tag === "Success") assert.strictEqual(found, "new")
            else assert.strictEqual(found, withOld ? "old" : null)
            // The next sweep removes leftovers that a publisher could not remove, or was not sure of.
            const isLeft = code === "short" || files.lastFault?.operation.startsWith("remove") === true
            if (!isLeft) assert.deepStrictEqual(await unfinished(files), [])
            await Effect.runPromise(
              asProcess(
                files,
                SnapshotStore.use((store) => store.sweep("/s/deep"))
              )
            )
            assert.deepStrictEqual(await unfinished(files), [])
          }
        ),
        { numRuns: 800 }
      )
    )
  )

  it.effect("a-folder-whose-name-could-not-be-made-durable-is-not-left-for-the-next-to-take-for-durable", () =>
    Effect.gen(function* () {
      const left: Array<ReadonlyArray<string>> = []
      // The folders are made from above, each flushed before the next: `/`, `/s`, `/s/deep`.
      for (const atOperation of [3, 5]) {
        const files = new MemoryFiles({ atOperation, code: "EIO" })
        assert.isTrue(Exit.isFailure(yield* asProcess(files, Effect.exit(publishOld))))
        assert.strictEqual(files.lastFault?.operation, "flushDirectory")
        left.push(files.paths())
        yield* asProcess(files, publishOld)
      }
      assert.deepStrictEqual(left, [["/"], ["/", "/s"]])
    })
  )

  it.effect("two-failing-operations-lose-no-snapshot-and-what-is-told-is-true", () =>
    Effect.promise(async () => {
      let unsettled = 0
      const failing = async (at: number, apart: number, withOld: boolean) => {
        const files = new MemoryFiles()
        const seen = await Effect.runPromise(
          asProcess(
            files,
            Effect.gen(function* () {
              const old = withOld ? yield* publishOld : null
              const first = files.operations + at
              files.injectFault({ atOperation: first, code: "EIO" }, { atOperation: first + apart, code: "EIO" })
              const result = yield* Effect.result(publishSample("/s/deep/target", "new", { replace: withOld }))
              files.injectFault()
              yield* (yield* SnapshotStore).sweep("/s/deep")
              const opened = yield* Effect.result((yield* SnapshotStore).open("/s/deep/target"))
              return { old, result, opened }
            })
          )
        )
        const found = seen.opened._tag === "Success" ? seen.opened.success.manifest.runId : null
        const reason =
          seen.result._tag === "Failure" && seen.result.failure._tag === "SnapshotPublishError"
            ? seen.result.failure.reason
            : null
        if (reason?._tag === "PublishUnsettled") {
          unsettled += 1
          assert.strictEqual(found, "new")
          assert.strictEqual(reason.kept, seen.old?.layers[0] ?? null)
          // All files of the old one are at their stated place.
          for (const { name } of seen.old?.manifest.files ?? []) {
            assert.include(files.paths(), `${reason.kept}/${name}`)
          }
        } else if (seen.result._tag === "Success") assert.strictEqual(found, "new")
        else assert.strictEqual(found, withOld ? "old" : null)
      }
      for (const withOld of [false, true])
        for (const apart of [1, 2, 3, 4]) for (let at = 0; at <= mostOperations; at++) await failing(at, apart, withOld)
      assert.isAbove(unsettled, 0)
    })
  )
})
