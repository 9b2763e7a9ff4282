import { mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { clearOwnedDirectories, makeOwnedDirectory } from "../files/OwnedDirectory.ts"
import { publishSample, sampleCapture, sampleDraft } from "../testing/sampleSnapshots.ts"
import { sealOf } from "./Manifest.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-exchanged-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const store = Layer.provideMerge(SnapshotStore.layer, DurableFiles.layer)

/** A foreign folder with the names that a publisher removes. */
const homeIn = async (where: string): Promise<string> => {
  const home = join(where, "home")
  await mkdir(home)
  for (const name of ["letters", "timeline.ndjson", "owner.json", "owner.lock"]) await writeFile(join(home, name), name)
  return home
}

const assertUntouched = async (home: string) => {
  const names = (await readdir(home)).toSorted()
  assert.deepStrictEqual(names, ["letters", "owner.json", "owner.lock", "timeline.ndjson"])
  for (const name of names) assert.strictEqual(await readFile(join(home, name), "utf8"), name)
}

/** The replacements of a directory. */
const exchanges: Readonly<Record<string, (home: string, path: string) => Promise<void>>> = {
  "a-link": (home, path) => symlink(home, path),
  "another-folder": (home, path) => rename(home, path)
}

describe("what has come into the place of a directory that was made here", () => {
  for (const [what, put] of Object.entries(exchanges)) {
    for (const [which, of] of [
      ["contents", (directory: string) => directory],
      ["staging", (directory: string) => dirname(dirname(directory))]
    ] as const) {
      it.live(`is-not-emptied-and-nothing-is-published-from-it:${what}-for-${which}`, () =>
        Effect.gen(function* () {
          const where = yield* folder
          const home = yield* Effect.promise(() => homeIn(where))
          const snapshots = yield* SnapshotStore
          const scope = yield* Scope.make()
          const staging = yield* snapshots.stage(join(where, "target")).pipe(Scope.provide(scope))
          const captured = yield* sampleCapture(staging.directory, "one")
          const exchanged = of(staging.directory)
          yield* Effect.promise(async () => {
            await rename(exchanged, `${exchanged}-moved`)
            await put(home, exchanged)
          })
          const contents = { draft: sampleDraft("one"), captured, timeline: new Uint8Array(1) }
          const refused = yield* Effect.flip(snapshots.publish(staging, contents))
          yield* Scope.close(scope, Exit.void)
          yield* Effect.promise(() => assertUntouched(what === "a-link" ? home : exchanged))
          assert.strictEqual(refused.reason._tag, "FileUnfit", refused.message)
          assert.include(refused.message, exchanged)
        }).pipe(Effect.scoped, Effect.provide(store))
      )
    }

    it.live(`is-not-cleared:${what}`, () =>
      Effect.gen(function* () {
        const where = yield* folder
        const home = yield* Effect.promise(() => homeIn(where))
        const files = yield* DurableFiles
        const left = yield* Effect.scoped(
          Effect.gen(function* () {
            const owned = yield* makeOwnedDirectory(files, where, "staging")
            yield* owned.give
            return owned.path()
          })
        )
        // Exchanged after it was looked at, and held.
        const exchange = Effect.promise(async () => {
          await rename(left, `${left}-moved`)
          await put(home, left)
        })
        const claimed = () => Effect.as(exchange, "superseded" as const)
        const { removed } = yield* clearOwnedDirectories(files, where, "staging", claimed)
        yield* Effect.promise(() => assertUntouched(left))
        assert.deepStrictEqual(removed, [])
      }).pipe(Effect.scoped, Effect.provide(store))
    )
  }
})

describe("a target of another user", () => {
  it.live("is-refused-by-name-and-left-as-it-was", () =>
    Effect.gen(function* () {
      const target = join(yield* folder, "target")
      yield* Effect.promise(() => mkdir(target))
      const files = yield* DurableFiles
      const inspect = (path: string) =>
        Effect.map(files.inspect(path), (found) =>
          found === null || path !== target ? found : { ...found, userId: found.userId + 1 }
        )
      const others = Layer.provideMerge(SnapshotStore.layer, Layer.succeed(DurableFiles, { ...files, inspect }))
      const refused = yield* Effect.flip(
        SnapshotStore.use((snapshots) => snapshots.stage(target)).pipe(Effect.provide(others, { local: true }))
      )
      assert.strictEqual(refused.reason._tag, "TargetUnfit")
      assert.include(refused.message, "of another user")
      assert.deepStrictEqual(yield* Effect.promise(() => readdir(target)), [])
    }).pipe(Effect.scoped, Effect.provide(store))
  )
})

describe("the path of a parent in a manifest", () => {
  for (const [what, directory, word] of [
    ["longer-than-a-path-can-be", "a/".repeat(500_000), "at most 4096 bytes"],
    ["with-a-zero-byte", "a\0b", "without zero bytes"]
  ] as const) {
    it.live(`is-refused-where-it-is-${what}`, () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "target")
        const { manifest } = yield* publishSample(target, "one")
        const edited = { ...manifest, parent: { directory, digest: "0".repeat(64) } }
        const text = `${JSON.stringify({ ...edited, digest: sealOf(edited) }, null, 2)}\n`
        yield* Effect.promise(() => writeFile(join(target, "manifest.json"), text))
        const { message, reason } = yield* Effect.flip((yield* SnapshotStore).open(target))
        assert.strictEqual(reason._tag, "ManifestUnreadable")
        assert.include(message, word)
        assert.isBelow(message.length, 1_000)
      }).pipe(Effect.scoped, Effect.provide(store))
    )
  }
})
