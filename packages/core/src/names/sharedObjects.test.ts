import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { FileFault } from "../files/FileErrors.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample, sampleObject } from "../testing/sampleSnapshots.ts"
import { handle, home, keepSample, run } from "../testing/sampleStore.ts"
import { Snapshots } from "./Snapshots.ts"

const objects = join(home, "snapshots", "objects")
const shared = join(objects, sampleObject)

const made = Effect.gen(function* () {
  const files = new MemoryFiles()
  yield* files.shape.makeDirectory("/data")
  return files
})

/** How many names an object in the folder has; `null` if it is not there. */
const linksOf = (files: MemoryFiles, path = shared) => Effect.map(files.shape.inspect(path), (found) => found?.links)
/** What the next process does before it makes a snapshot. */
const drafted = (files: MemoryFiles) => run(files, Effect.scoped(Snapshots.use(({ draft }) => draft)))
const usage = (files: MemoryFiles) =>
  run(
    files,
    Snapshots.use((snapshots) => snapshots.usage)
  )
const removed = (files: MemoryFiles, name: string) =>
  run(
    files,
    Snapshots.use(({ remove }) => remove(name))
  )

describe("objects of a store", () => {
  it.live("an-object-is-there-once-for-all-snapshots-and-goes-with-the-last", () =>
    Effect.gen(function* () {
      const files = yield* made
      const one = yield* run(files, keepSample("one", "one"))
      assert.strictEqual(yield* linksOf(files), 2)
      const alone = (yield* usage(files)).storedBytes
      const two = yield* run(files, keepSample("two", "two"))
      assert.strictEqual(yield* linksOf(files), 3)
      // Both have it, and the disk has it once.
      assert.strictEqual(two.storedBytes, one.storedBytes)
      assert.strictEqual((yield* usage(files)).storedBytes, 2 * alone - "object".length)
      yield* removed(files, "one")
      assert.strictEqual(yield* linksOf(files), 2)
      yield* run(
        files,
        Snapshots.use(({ get }) => get("two"))
      )
      yield* removed(files, "two")
      assert.deepStrictEqual(yield* files.shape.list(objects), [])
    })
  )

  it.live("an-object-of-nobody-is-removed-by-the-next-draft-and-anything-else-stays", () =>
    Effect.gen(function* () {
      const files = yield* made
      yield* run(files, keepSample("one", "one"))
      const [left, foreign] = [join(objects, "a".repeat(64)), join(objects, "notes")]
      for (const path of [left, foreign]) yield* files.shape.write(path, new Uint8Array(3))
      yield* drafted(files)
      assert.deepStrictEqual(yield* files.shape.list(objects), [sampleObject, "notes"].toSorted())
    })
  )

  it.live("an-unfinished-snapshot-keeps-its-objects-until-its-owner-is-gone", () =>
    Effect.gen(function* () {
      const files = yield* made
      yield* run(files, keepSample("one", "one"))
      yield* run(
        files,
        Effect.scoped(
          Effect.gen(function* () {
            const directory = yield* Snapshots.use(({ draft }) => draft)
            yield* publishSample(directory, "two")
            yield* removed(files, "one")
            yield* drafted(files)
            assert.strictEqual(yield* linksOf(files), 2)
          })
        )
      )
      yield* drafted(files)
      assert.isUndefined(yield* linksOf(files))
    })
  )

  it.live("without-the-folder-snapshots-are-whole-and-the-next-one-brings-it-back", () =>
    Effect.gen(function* () {
      const files = yield* made
      yield* run(files, keepSample("one", "one"))
      yield* files.shape.removeTree(objects)
      yield* run(
        files,
        Snapshots.use(({ get }) => get("one"))
      )
      yield* run(files, keepSample("two", "two"))
      assert.strictEqual(yield* linksOf(files), 2)
    })
  )

  it.live("without-hard-links-every-snapshot-has-its-own", () =>
    Effect.gen(function* () {
      const files = yield* made
      const link = (_from: string, path: string) => new FileFault({ operation: "link", path, code: "EPERM" })
      const unlinked = Layer.succeed(DurableFiles, { ...files.shape, link })
      for (const label of ["one", "two"]) {
        yield* Effect.provide(keepSample(label, label), handle(unlinked), { local: true })
      }
      assert.deepStrictEqual(yield* files.shape.list(objects), [])
      assert.strictEqual((yield* usage(files)).snapshots, 2)
    })
  )
})
