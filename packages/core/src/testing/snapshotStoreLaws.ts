/**
 * What every {@link SnapshotStore} promises.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { join } from "node:path"
import { Effect } from "effect"
import { DurableFiles } from "../snapshot/DurableFiles.ts"
import { leftoverPath } from "../snapshot/Leftovers.ts"
import { manifestFileName, timelineFileName } from "../snapshot/Manifest.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { Law } from "./Law.ts"
import { publishSample, sampleCapture } from "./sampleSnapshots.ts"
import { deltaLaws } from "./snapshotChainLaws.ts"

const text = (value: string): Uint8Array => new TextEncoder().encode(value)

const reasonOf = (directory: string) =>
  Effect.gen(function* () {
    const store = yield* SnapshotStore
    const error = yield* Effect.flip(store.open(directory))
    return error.reason
  })

const rewrite = (path: string, change: (bytes: Uint8Array) => Uint8Array) =>
  Effect.gen(function* () {
    const files = yield* DurableFiles
    const bytes = yield* files.read(path)
    yield* files.removeTree(path)
    yield* files.write(path, change(bytes))
  })

/** The laws, to be run with `parent` an existing directory of the implementation under test. */
export const snapshotStoreLaws = (parent: string): ReadonlyArray<Law<SnapshotStore | DurableFiles>> => {
  let counter = 0
  const fresh = (): string => join(parent, `snapshot-${counter++}`)
  const law = (name: string, check: (target: string) => Law<SnapshotStore | DurableFiles>["check"]) => ({
    name,
    check: Effect.suspend(() => check(fresh()))
  })

  return [
    law("what-was-published-opens-as-it-was", (target) =>
      Effect.gen(function* () {
        const published = yield* publishSample(target, "one")
        const opened = yield* (yield* SnapshotStore).open(target)
        assert.deepEqual(opened, published)
        assert.equal(opened.manifest.runId, "one")
      })
    ),
    law("an-unpublished-staging-vanishes-with-its-scope", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const files = yield* DurableFiles
        const directory = yield* Effect.scoped(
          Effect.gen(function* () {
            const staging = yield* store.stage(target)
            yield* sampleCapture(staging.directory, "dropped")
            return staging.directory
          })
        )
        assert.equal(yield* files.inspect(directory), null)
        assert.equal((yield* reasonOf(target))._tag, "SnapshotMissing")
      })
    ),
    law("an-existing-target-is-refused-and-left-alone", (target) =>
      Effect.gen(function* () {
        yield* publishSample(target, "old")
        const error = yield* Effect.flip(publishSample(target, "new"))
        assert.equal(error._tag === "SnapshotPublishError" && error.reason._tag, "TargetExists")
        assert.equal((yield* (yield* SnapshotStore).open(target)).manifest.runId, "old")
      })
    ),
    law("a-replacement-leaves-only-the-replacement", (target) =>
      Effect.gen(function* () {
        yield* publishSample(target, "old")
        yield* publishSample(target, "new", { replace: true })
        assert.equal((yield* (yield* SnapshotStore).open(target)).manifest.runId, "new")
        const names = yield* (yield* DurableFiles).list(parent)
        assert.deepEqual(
          names.filter((name) => name.includes(".staging-") || name.includes(".replaced-")),
          []
        )
      })
    ),
    law("a-missing-snapshot-is-refused", (target) =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(target)
        assert.equal(reason._tag, "SnapshotMissing")
        assert.ok(reason.message.includes(target))
      })
    ),
    law("an-empty-directory-is-refused", (target) =>
      Effect.gen(function* () {
        yield* (yield* DurableFiles).makeDirectory(target)
        assert.equal((yield* reasonOf(target))._tag, "ManifestMissing")
      })
    ),
    ...["memory.bin", "memory.digests", "machine.bin", timelineFileName].flatMap((name) => [
      law(`a-missing-${name}-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          yield* publishSample(target, "one")
          yield* (yield* DurableFiles).removeTree(join(target, name))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileMissing")
          assert.ok(reason.message.includes(name))
        })
      ),
      law(`a-truncated-${name}-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          yield* publishSample(target, "one")
          yield* rewrite(join(target, name), (bytes) => bytes.slice(0, bytes.length - 1))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileResized")
          assert.ok(reason.message.includes(name))
        })
      )
    ]),
    ...["memory.digests", "machine.bin", timelineFileName].flatMap((name) => [
      law(`an-edited-${name}-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          yield* publishSample(target, "one")
          yield* rewrite(join(target, name), (bytes) => bytes.with(3, (bytes[3] ?? 0) ^ 1))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileAltered")
          assert.ok(reason.message.includes(name))
        })
      ),
      law(`a-${name}-from-another-snapshot-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          const files = yield* DurableFiles
          const other = fresh()
          yield* publishSample(target, "one")
          yield* publishSample(other, "two")
          const swapped = yield* files.read(join(other, name))
          yield* rewrite(join(target, name), () => swapped)
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileAltered")
          assert.ok(reason.message.includes(name))
        })
      )
    ]),
    law("every-flipped-bit-of-a-manifest-is-refused", (target) =>
      Effect.gen(function* () {
        const files = yield* DurableFiles
        yield* publishSample(target, "one")
        const path = join(target, manifestFileName)
        const original = yield* files.read(path)
        for (let offset = 0; offset < original.length; offset += 5) {
          yield* rewrite(path, () => original.with(offset, (original[offset] ?? 0) ^ (1 << (offset % 8))))
          const reason = yield* reasonOf(target)
          assert.ok(
            ["ManifestUnreadable", "ManifestVersionUnknown", "ManifestEdited"].includes(reason._tag),
            `${offset}: ${reason._tag}`
          )
          assert.ok(reason.message.includes(manifestFileName))
        }
        yield* rewrite(path, () => original)
        yield* (yield* SnapshotStore).open(target)
      })
    ),
    law("a-truncated-manifest-is-refused", (target) =>
      Effect.gen(function* () {
        yield* publishSample(target, "one")
        const path = join(target, manifestFileName)
        const { length } = yield* (yield* DurableFiles).read(path)
        for (const kept of [length - 1, length - 2, 20]) {
          yield* rewrite(path, (bytes) => bytes.slice(0, kept))
          assert.equal((yield* reasonOf(target))._tag, "ManifestUnreadable")
        }
        yield* rewrite(join(target, manifestFileName), () => new Uint8Array(0))
        assert.equal((yield* reasonOf(target))._tag, "ManifestUnreadable")
      })
    ),
    law("a-manifest-of-a-later-version-is-refused-by-its-header", (target) =>
      Effect.gen(function* () {
        yield* publishSample(target, "one")
        yield* rewrite(join(target, manifestFileName), () =>
          text(JSON.stringify({ format: "stillpoint-snapshot", version: 9, engine: "kvm", novelty: true }))
        )
        const reason = yield* reasonOf(target)
        assert.equal(reason._tag, "ManifestVersionUnknown")
        assert.ok(reason.message.includes("version 9") && reason.message.includes("kvm"))
      })
    ),
    law("a-snapshot-that-requires-validation-is-not-ready-before-it-passed", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const snapshot = yield* publishSample(target, "one", { validation: "required" })
        assert.equal((yield* reasonOf(target))._tag, "SnapshotNotReady")
        assert.equal((yield* store.open(target, { allowUnvalidated: true })).validation, null)
        yield* store.recordValidation(snapshot, { verdict: "passed", detail: "probe", workingSet: null })
        assert.equal((yield* store.open(target)).validation?.verdict, "passed")
      })
    ),
    law("a-snapshot-that-failed-its-validation-is-never-ready", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const snapshot = yield* publishSample(target, "one", { validation: "required" })
        yield* store.recordValidation(snapshot, { verdict: "failed", detail: "no answer on port 80", workingSet: null })
        const reason = yield* reasonOf(target)
        assert.equal(reason._tag, "SnapshotNotReady")
        assert.ok(reason.message.includes("no answer on port 80"))
      })
    ),
    law("a-validation-of-another-snapshot-does-not-count", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const files = yield* DurableFiles
        const other = fresh()
        yield* publishSample(target, "one", { validation: "required" })
        const passed = yield* publishSample(other, "two", { validation: "required" })
        yield* store.recordValidation(passed, { verdict: "passed", detail: "probe", workingSet: null })
        const stolen = yield* files.read(join(other, "validation.json"))
        yield* files.write(join(target, "validation.json"), stolen)
        assert.equal((yield* reasonOf(target))._tag, "SnapshotNotReady")
      })
    ),
    law("a-verdict-published-with-a-snapshot-counts-from-the-beginning", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        yield* publishSample(target, "one", { validation: "required", verdict: "passed" })
        assert.equal((yield* store.open(target)).validation?.verdict, "passed")
        const other = fresh()
        yield* publishSample(other, "two", { validation: "required", verdict: "failed" })
        assert.equal((yield* reasonOf(other))._tag, "SnapshotNotReady")
      })
    ),
    law("a-timeline-is-checked-as-it-is-read", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const snapshot = yield* publishSample(target, "one")
        assert.equal(new TextDecoder().decode(yield* store.timeline(snapshot)), '{"timeline":"one"}\n')
        yield* rewrite(join(target, timelineFileName), (bytes) => bytes.with(3, (bytes[3] ?? 0) ^ 1))
        assert.equal((yield* Effect.flip(store.timeline(snapshot))).reason._tag, "SnapshotFileAltered")
      })
    ),
    law("a-sweep-removes-what-dead-publishers-left-and-nothing-else", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const files = yield* DurableFiles
        yield* publishSample(target, "one")
        // No process has this id: it is beyond the largest that any supported system gives.
        const left = leftoverPath(target, "staging", 2 ** 31 - 2, "dead")
        yield* files.makeDirectory(left)
        yield* sampleCapture(left, "left")
        const mine = yield* store.stage(fresh())
        const report = yield* store.sweep(parent)
        assert.deepEqual(report, { removed: [left], restored: [] })
        assert.notEqual(yield* files.inspect(mine.directory), null)
        yield* store.open(target)
      })
    ),
    law("a-snapshot-moved-aside-by-a-crashed-replacement-opens", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const files = yield* DurableFiles
        yield* publishSample(target, "old")
        yield* files.rename(target, leftoverPath(target, "replaced", 2 ** 31 - 2, "dead"))
        assert.equal((yield* store.open(target)).manifest.runId, "old")
      })
    ),
    ...deltaLaws(law, fresh),
    law("a-removed-snapshot-is-gone", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        yield* publishSample(target, "one")
        yield* store.remove(target)
        assert.equal((yield* reasonOf(target))._tag, "SnapshotMissing")
      })
    )
  ]
}
