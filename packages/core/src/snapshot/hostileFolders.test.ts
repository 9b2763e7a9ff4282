import { spawnSync } from "node:child_process"
import { cp, mkdir, mkdtemp, open, readdir, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { makeOwnedDirectory } from "../files/OwnedDirectory.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-hostile-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const store = Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)

const deep = `${"[".repeat(20_000)}${"]".repeat(20_000)}`

/** Replacements of a file; none of them blocks, and they have any size. */
const substitutes: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  pipe: async (path) => {
    const { status } = spawnSync("mkfifo", [path])
    assert.strictEqual(status, 0)
  },
  "endless-device": (path) => symlink("/dev/zero", path),
  "link-to-a-secret": (path) => symlink("/etc/hostname", path),
  "link-to-itself": (path) => symlink(path, path),
  directory: (path) => mkdir(path),
  "gigabyte-of-nothing": async (path) => {
    const file = await open(path, "w")
    await file.truncate(1.5 * 2 ** 30)
    await file.close()
  },
  "nest-of-brackets": (path) => writeFile(path, deep),
  "nest-within-a-manifest": (path) =>
    writeFile(path, `{"format":"stillpoint-snapshot","version":1,"engine":"e","policy":${deep}}`),
  "empty-file": (path) => writeFile(path, "")
}

const refusals = new Set(["FileUnfit", "ManifestUnreadable", "SnapshotFileResized", "SnapshotFileAltered"])

describe("a folder that somebody has prepared", () => {
  for (const [what, put] of Object.entries(substitutes)) {
    it.live(`with-a-${what}-in-the-place-of-a-file-is-refused-by-name`, () =>
      Effect.gen(function* () {
        const where = yield* folder
        const snapshots = yield* SnapshotStore
        const good = yield* publishSample(join(where, "good"), "one", { validation: "required", verdict: "passed" })
        const contents = good.manifest.contents
        const files = ["manifest.json", join(contents, "validation.json"), join(contents, "timeline.ndjson")]
        for (const file of [...files, ...["memory.bin", "machine.bin"].map((name) => join(contents, name))]) {
          const copy = join(where, "copy")
          yield* Effect.promise(async () => {
            await rm(copy, { recursive: true, force: true })
            await cp(good.directory, copy, { recursive: true })
            await rm(join(copy, file))
            await put(join(copy, file))
          })
          const { message, reason } = yield* Effect.flip(snapshots.open(copy))
          assert.include([...refusals], reason._tag, `${file}: ${message}`)
          assert.include(message, file)
          if (file.endsWith("validation.json")) assert.notInclude(message, "manifest")
          // Not the text of what a link leads to.
          assert.isBelow(message.length, 1_000)
        }
      }).pipe(Effect.scoped, Effect.provide(store))
    )
  }

  it.live("with-a-link-in-the-place-of-its-contents-is-refused-by-name", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const good = yield* publishSample(join(where, "good"), "one")
      const contents = join(good.directory, good.manifest.contents)
      yield* Effect.promise(async () => {
        await cp(contents, join(where, "elsewhere"), { recursive: true })
        await rm(contents, { recursive: true })
        await symlink(join(where, "elsewhere"), contents)
      })
      const { message, reason } = yield* Effect.flip((yield* SnapshotStore).open(good.directory))
      assert.strictEqual(reason._tag, "FileUnfit")
      assert.include(message, good.manifest.contents)
    }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("with-anything-in-the-place-of-what-says-whose-it-is-is-left-alone-by-who-clears", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const snapshots = yield* SnapshotStore
      const files = yield* DurableFiles
      /** As a publisher leaves it that is killed: in the folder that it was made in. */
      const leaveIn = (parent: string) =>
        Effect.scoped(
          Effect.gen(function* () {
            yield* files.makeDirectory(parent)
            const owned = yield* makeOwnedDirectory(files, parent, "staging")
            yield* files.write(join(owned.path(), "memory.bin"), new Uint8Array(9))
            yield* owned.give
            return basename(owned.path())
          })
        )
      for (const [what, put] of Object.entries(substitutes)) {
        for (const file of ["owner.json", "owner.lock"]) {
          if (what === "empty-file" && file === "owner.lock") continue
          const parent = join(where, `${what}-${file}`)
          const name = yield* leaveIn(parent)
          yield* Effect.promise(async () => {
            await rm(join(parent, name, file))
            await put(join(parent, name, file))
          })
          const { failed, removed } = yield* snapshots.sweep(parent)
          assert.deepStrictEqual(removed, [], `${what} as ${file}`)
          // A directory with our marker that cannot be locked is reported; one without it is
          // foreign.
          const told = failed.map(({ fault, path }) => [path, fault._tag])
          assert.deepStrictEqual(told, file === "owner.lock" ? [[join(parent, name), "FileUnfit"]] : [])
          assert.include(yield* Effect.promise(() => readdir(join(parent, name))), file)
        }
      }
      // Unchanged leftovers are cleared.
      const left = join(where, "left")
      const name = yield* leaveIn(left)
      assert.deepStrictEqual((yield* snapshots.sweep(left)).removed, [join(left, name)])
    }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("and-says-in-words-what-it-has-found", () =>
    Effect.gen(function* () {
      const where = yield* folder
      const good = yield* publishSample(join(where, "good"), "one")
      const memory = join(good.directory, good.manifest.contents, "memory.bin")
      const words = { pipe: "neither a file nor a directory", "link-to-a-secret": "a link", directory: "a directory" }
      for (const [what, found] of Object.entries(words)) {
        yield* Effect.promise(() => rm(memory, { recursive: true }).then(() => substitutes[what]?.(memory)))
        const { message } = yield* Effect.flip((yield* SnapshotStore).open(good.directory))
        assert.include(message, `expected a regular file, found ${found}`)
      }
    }).pipe(Effect.scoped, Effect.provide(store))
  )

  it.live("with-anything-in-the-place-of-a-lock-holds-no-publisher-up", () =>
    Effect.gen(function* () {
      const where = yield* folder
      for (const [what, put] of Object.entries(substitutes)) {
        if (what === "empty-file") continue
        const target = join(where, what)
        const good = yield* publishSample(target, "one")
        const lock = join(good.directory, "publish.lock")
        yield* Effect.promise(() => rm(lock).then(() => put(lock)))
        const refused = yield* Effect.flip(publishSample(target, "two", { replace: true }))
        assert.strictEqual(refused._tag === "SnapshotPublishError" && refused.reason._tag, "FileUnfit", what)
        assert.strictEqual((yield* (yield* SnapshotStore).open(target)).manifest.runId, "one")
      }
    }).pipe(Effect.scoped, Effect.provide(store))
  )
})
