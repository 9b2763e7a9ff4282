/**
 * The laws of every {@link SnapshotStore} about shared folders: leftovers, foreign files, and concurrent operations.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { join } from "node:path"
import { Effect } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import type { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { makeOwnedDirectory } from "../files/OwnedDirectory.ts"
import { manifestFileName } from "../snapshot/Manifest.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { Law } from "./Law.ts"
import { publishSample } from "./sampleSnapshots.ts"
import type { StoreLaw } from "./snapshotChainLaws.ts"

/** More than any file of these laws holds. */
export const mostBytes = 1 << 20

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)

/** Names in a directory that are no snapshot of these laws. */
export const besides = (directory: string) =>
  Effect.gen(function* () {
    const names = yield* (yield* DurableFiles).list(directory)
    return names.filter((name) => !name.startsWith("snapshot-"))
  })

/** A directory as an owner leaves it that ends without clean-up: marked, and not locked. */
const leaveBehind = (parent: string, kind: "staging" | "contents") =>
  Effect.gen(function* () {
    const files = yield* DurableFiles
    const left = yield* Effect.scoped(
      Effect.gen(function* () {
        const owned = yield* makeOwnedDirectory(files, parent, kind)
        yield* files.write(join(owned.path(), "memory.bin"), text("half of it"))
        yield* owned.give
        return owned.path()
      })
    )
    return left
  })

/** The laws of the places where snapshots are published to; `parent` is the directory of them all. */
export const placeLaws = (
  law: StoreLaw,
  fresh: () => string,
  parent: string
): ReadonlyArray<Law<SnapshotStore | DurableFiles>> => [
  law("a-sweep-removes-what-dead-publishers-left-and-nothing-else", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      const replaced = fresh()
      yield* publishSample(target, "one")
      yield* publishSample(replaced, "one")
      const left = [yield* leaveBehind(parent, "staging"), yield* leaveBehind(target, "contents")]
      const [beside, inside] = [yield* store.stage(fresh()), yield* store.stage(replaced)]
      const report = yield* store.sweep(parent)
      assert.deepEqual([report.removed.toSorted(), report.failed], [left.toSorted(), []])
      for (const { directory } of [beside, inside]) assert.notEqual(yield* files.inspect(directory), null)
      for (const each of [target, replaced]) yield* store.open(each)
      assert.deepEqual((yield* store.sweep(parent)).removed, [])
    })
  ),
  law("a-name-alone-makes-nobody-its-owner", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      const id = "0123456789abcdef0123456789abcdef"
      const names = [
        `${target}.staging-20261128-3f2a9c1`,
        `${target}.replaced-20261127-old`,
        join(parent, `.stillpoint-${id}`),
        join(parent, `contents-${id}`)
      ]
      // Snapshots with such names, together with foreign directories, beside a snapshot and in it.
      for (const name of names) yield* publishSample(name, name)
      yield* publishSample(target, "one")
      const theirs = [`.stillpoint-${id.replace("0", "f")}`, `contents-${id}`]
      for (const name of theirs) {
        for (const directory of [join(parent, name.replace("f", "e")), join(target, name)]) {
          yield* files.makeDirectory(directory)
          yield* files.write(join(directory, "thesis.txt"), text("years of work"))
        }
      }
      assert.deepEqual(yield* store.sweep(parent), { removed: [], failed: [] })
      for (const name of names) assert.equal((yield* store.open(name)).manifest.runId, name)
      assert.equal((yield* store.open(target)).manifest.runId, "one")
      yield* publishSample(target, "two", { replace: true })
      for (const name of theirs) {
        assert.deepEqual(yield* files.list(join(target, name)), ["thesis.txt"])
        assert.ok((yield* files.list(join(parent, name.replace("f", "e")))).includes("thesis.txt"))
      }
    })
  ),
  law("nothing-but-a-snapshot-is-replaced-or-removed", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      yield* files.makeDirectory(target)
      yield* files.write(join(target, "thesis.txt"), text("years of work"))
      const web = fresh()
      yield* files.makeDirectory(web)
      // Another format has a file of this name too.
      yield* files.write(join(web, manifestFileName), text('{"name":"an app","display":"standalone"}'))
      const file = fresh()
      yield* files.write(file, text("a file"))
      for (const [path, holds] of [
        [target, "thesis.txt"],
        [web, manifestFileName],
        [file, "a file"]
      ] as const) {
        const refused = yield* Effect.flip(publishSample(path, "new", { replace: true }))
        assert.equal(refused._tag === "SnapshotPublishError" && refused.reason._tag, "TargetUnfit")
        assert.ok(refused.message.includes(holds), refused.message)
        assert.equal((yield* Effect.flip(store.remove(path))).reason._tag, "TargetUnfit")
      }
      assert.deepEqual(yield* files.list(target), ["thesis.txt"])
      assert.deepEqual(yield* files.list(web), [manifestFileName])
      assert.deepEqual(yield* besides(parent), [])
    })
  ),
  law("an-empty-directory-is-filled-if-it-may-be-replaced", (target) =>
    Effect.gen(function* () {
      const files = yield* DurableFiles
      yield* files.makeDirectory(target)
      const refused = yield* Effect.flip(publishSample(target, "new"))
      assert.equal(refused._tag === "SnapshotPublishError" && refused.reason._tag, "TargetExists")
      assert.deepEqual(yield* files.list(target), [])
      yield* publishSample(target, "new", { replace: true })
      assert.equal((yield* (yield* SnapshotStore).open(target)).manifest.runId, "new")
    })
  ),
  law("of-many-who-publish-to-one-target-at-once-one-does-and-the-others-are-told", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const outcomes = yield* Effect.forEach(
        Array.from({ length: 12 }, (_, index) => `${index}`),
        (label) => Effect.map(Effect.result(publishSample(target, label)), (result) => ({ label, result })),
        { concurrency: "unbounded" }
      )
      const won = outcomes.filter(({ result }) => result._tag === "Success").map(({ label }) => label)
      assert.equal(won.length, 1)
      assert.equal((yield* store.open(target)).manifest.runId, won[0])
      for (const { result } of outcomes) {
        if (result._tag === "Success") continue
        const reason = result.failure._tag === "SnapshotPublishError" ? result.failure.reason._tag : result.failure._tag
        assert.ok(reason === "TargetTaken" || reason === "TargetExists", reason)
      }
      assert.deepEqual(yield* besides(parent), [])
    })
  ),
  law("all-who-replace-one-target-at-once-do-one-after-the-other", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      const labels = Array.from({ length: 8 }, (_, index) => `${index}`)
      // On a busy host seven turns may exceed a publisher's maximum wait: it fails, changes nothing, and tries again.
      yield* Effect.forEach(
        labels,
        (label) =>
          publishSample(target, label, { replace: true }).pipe(
            Effect.retry({
              while: (error) => error._tag === "SnapshotPublishError" && error.reason._tag === "TargetBusy"
            })
          ),
        { concurrency: "unbounded" }
      )
      const opened = yield* store.open(target)
      assert.ok(labels.includes(opened.manifest.runId))
      const contents = (yield* files.list(target)).filter((name) => name.startsWith("contents-"))
      assert.deepEqual(contents, [opened.manifest.contents])
      assert.deepEqual(yield* besides(parent), [])
    })
  ),
  law("who-publishes-and-who-removes-at-once-all-do", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      // Three at a time find every moment at which one of them removes what another is about to work in.
      yield* Effect.forEach(
        Array.from({ length: 12 }, (_, index) => index),
        (index) =>
          Effect.gen(function* () {
            if (index % 3 === 0) yield* store.remove(target)
            else yield* publishSample(target, `${index}`, { replace: true })
          }),
        { concurrency: 3 }
      )
      const last = yield* publishSample(target, "last", { replace: true })
      const contents = (yield* files.list(target)).filter((name) => name.startsWith("contents-"))
      assert.deepEqual(contents, [last.manifest.contents])
      assert.deepEqual(yield* besides(parent), [])
    })
  ),
  law("a-copy-is-nobodys-to-clear", (target) =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const files = yield* DurableFiles
      const copyOf = (from: string, to: string): Effect.Effect<void, FileFault | FileUnfit> =>
        Effect.gen(function* () {
          yield* files.makeDirectory(to)
          // As `cp` does, what holds the contents before what names them.
          for (const name of yield* files.list(from)) {
            const path = join(from, name)
            if ((yield* files.inspect(path))?.kind === "directory") yield* copyOf(path, join(to, name))
            else yield* files.write(join(to, name), yield* files.read(path, mostBytes))
            yield* store.sweep(parent)
          }
        })
      yield* publishSample(target, "one")
      const copy = fresh()
      yield* copyOf(target, copy)
      assert.equal((yield* store.open(copy)).manifest.runId, "one")
      // As a snapshot it is like any other: a replacement removes it.
      const { manifest } = yield* publishSample(copy, "two", { replace: true })
      const contents = (yield* files.list(copy)).filter((name) => name.startsWith("contents-"))
      assert.deepEqual(contents, [manifest.contents])
      const another = fresh()
      yield* copyOf(target, another)
      yield* store.remove(another)
      assert.equal(yield* files.inspect(another), null)
    })
  )
]
