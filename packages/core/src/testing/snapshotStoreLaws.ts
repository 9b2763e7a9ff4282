/**
 * The laws of every {@link SnapshotStore}.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { join } from "node:path"
import { Effect, type Schema } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { manifestFileName, timelineFileName } from "../snapshot/Manifest.ts"
import { type Snapshot, SnapshotStore } from "../snapshot/SnapshotStore.ts"
import type { Law } from "./Law.ts"
import { publishSample, sampleCapture } from "./sampleSnapshots.ts"
import { deltaLaws } from "./snapshotChainLaws.ts"
import { besides, mostBytes, placeLaws, text } from "./snapshotPlaceLaws.ts"

const reasonOf = (directory: string) =>
  Effect.gen(function* () {
    const store = yield* SnapshotStore
    const error = yield* Effect.flip(store.open(directory))
    return error.reason
  })

const rewrite = (path: string, change: (bytes: Uint8Array) => Uint8Array) =>
  Effect.gen(function* () {
    const files = yield* DurableFiles
    const bytes = yield* files.read(path, mostBytes)
    yield* files.removeTree(path)
    yield* files.write(path, change(bytes))
  })

const contentsOf = (snapshot: Snapshot): string => snapshot.layers[0] ?? snapshot.directory

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
        assert.deepEqual(yield* besides(parent), [])
        assert.equal(
          (yield* (yield* DurableFiles).list(target)).filter((name) => name.startsWith("contents-")).length,
          1
        )
      })
    ),
    law("what-is-admitted-can-be-published-and-what-is-not-cannot", (target) =>
      Effect.gen(function* () {
        const files = yield* DurableFiles
        const store = yield* SnapshotStore
        const tagOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
          Effect.match(effect, {
            onSuccess: () => "done",
            onFailure: (error) => ("reason" in error ? (error.reason as { readonly _tag: string })._tag : error._tag)
          })
        const situations: Readonly<Record<string, Effect.Effect<unknown, unknown, DurableFiles | SnapshotStore>>> = {
          nothing: Effect.void,
          "an empty directory": files.makeDirectory(target),
          "a snapshot": publishSample(target, "old"),
          "somebody's directory": Effect.andThen(
            files.makeDirectory(target),
            files.write(join(target, "letter"), new Uint8Array(1))
          ),
          "a file": files.write(target, new Uint8Array(1)),
          "a file above": files.write(target, new Uint8Array(1))
        }
        for (const [what, begin] of Object.entries(situations)) {
          for (const replace of [true, false]) {
            yield* files.removeTree(target)
            yield* Effect.orDie(begin)
            const path = what === "a file above" ? join(target, "deep", "in") : target
            const before = yield* besides(parent)
            const admitted = yield* tagOf(store.admit(path, { replace }))
            assert.deepEqual(yield* besides(parent), before, "it has left something")
            const published = yield* tagOf(publishSample(path, "new", { replace }))
            assert.equal(
              admitted === "done",
              published === "done",
              `${what}, replace ${replace}: ${admitted}, ${published}`
            )
          }
        }
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
          const contents = contentsOf(yield* publishSample(target, "one"))
          yield* (yield* DurableFiles).removeTree(join(contents, name))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileMissing")
          assert.ok(reason.message.includes(name))
        })
      ),
      law(`a-truncated-${name}-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          const contents = contentsOf(yield* publishSample(target, "one"))
          yield* rewrite(join(contents, name), (bytes) => bytes.slice(0, bytes.length - 1))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileResized")
          assert.ok(reason.message.includes(name))
        })
      )
    ]),
    ...["memory.digests", "machine.bin", timelineFileName].flatMap((name) => [
      law(`an-edited-${name}-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          const contents = contentsOf(yield* publishSample(target, "one"))
          yield* rewrite(join(contents, name), (bytes) => bytes.with(3, (bytes[3] ?? 0) ^ 1))
          const reason = yield* reasonOf(target)
          assert.equal(reason._tag, "SnapshotFileAltered")
          assert.ok(reason.message.includes(name))
        })
      ),
      law(`a-${name}-from-another-snapshot-is-refused-by-name`, (target) =>
        Effect.gen(function* () {
          const files = yield* DurableFiles
          const other = fresh()
          const contents = contentsOf(yield* publishSample(target, "one"))
          const others = contentsOf(yield* publishSample(other, "two"))
          const swapped = yield* files.read(join(others, name), mostBytes)
          yield* rewrite(join(contents, name), () => swapped)
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
        const original = yield* files.read(path, mostBytes)
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
        const { length } = yield* (yield* DurableFiles).read(path, mostBytes)
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
        const contents = contentsOf(yield* publishSample(target, "one", { validation: "required" }))
        const passed = yield* publishSample(other, "two", { validation: "required" })
        yield* store.recordValidation(passed, { verdict: "passed", detail: "probe", workingSet: null })
        const stolen = yield* files.read(join(contentsOf(passed), "validation.json"), mostBytes)
        yield* files.write(join(contents, "validation.json"), stolen)
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
        yield* rewrite(join(contentsOf(snapshot), timelineFileName), (bytes) => bytes.with(3, (bytes[3] ?? 0) ^ 1))
        assert.equal((yield* Effect.flip(store.timeline(snapshot))).reason._tag, "SnapshotFileAltered")
      })
    ),
    ...placeLaws(law, fresh, parent),
    law("a-verdict-on-a-snapshot-that-was-replaced-changes-nothing", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const first = yield* publishSample(target, "first", { validation: "required" })
        const second = yield* publishSample(target, "second", { validation: "required", replace: true })
        yield* store.recordValidation(second, { verdict: "passed", detail: "", workingSet: null })
        for (const verdict of ["failed", "passed"] as const) {
          const late = yield* Effect.flip(store.recordValidation(first, { verdict, detail: "", workingSet: null }))
          assert.equal(late.reason._tag, "SnapshotReplaced")
        }
        assert.equal((yield* store.open(target)).validation?.verdict, "passed")
        const meant = yield* Effect.flip(store.open(target, { digest: first.manifest.digest }))
        assert.equal(meant.reason._tag, "SnapshotReplaced")
        yield* store.open(target, { digest: second.manifest.digest })
      })
    ),
    law("what-could-not-be-read-again-is-not-published", (target) =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        let policy: Schema.Json = null
        for (let level = 0; level < 20_000; level++) policy = [policy]
        const refused = yield* Effect.flip(publishSample(target, "deep", { policy }))
        assert.equal(refused._tag === "SnapshotPublishError" && refused.reason._tag, "ManifestUnfit")
        yield* publishSample(target, "one")
        for (const name of [manifestFileName, "validation.json"]) {
          const directory = name === manifestFileName ? target : contentsOf(yield* store.open(target))
          const path = join(directory, name)
          yield* (yield* DurableFiles).removeTree(path)
          yield* (yield* DurableFiles).write(path, text(`${"[".repeat(20_000)}${"]".repeat(20_000)}`))
          assert.equal((yield* reasonOf(target))._tag, "ManifestUnreadable")
          yield* publishSample(target, "one", { replace: true })
        }
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
