import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Redacted, Result } from "effect"
import * as fc from "fast-check"
import type { DurableFiles } from "../files/DurableFiles.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { keyIdOf } from "../encryption.ts"
import { type Manifest, sealOf, sha256 } from "./Manifest.ts"
import { type OpenOptions, type Snapshot, type SnapshotKeys, SnapshotStore } from "./SnapshotStore.ts"

const keyOf = (byte: number) => Redacted.make(new Uint8Array(32).fill(byte))
const [ours, others] = [keyOf(7), keyOf(8)]
const [ourId, otherId] = [keyIdOf(ours), keyIdOf(others)]

/** Does something as a process whose store has these keys. */
const keyed = <A, E>(files: MemoryFiles, keys: SnapshotKeys, work: Effect.Effect<A, E, SnapshotStore | DurableFiles>) =>
  Effect.provide(work, Layer.provideMerge(SnapshotStore.layerKeyed(keys), files.layer), { local: true })

/** Opens a snapshot and reads its timeline. */
const used = (files: MemoryFiles, directory: string, keys: SnapshotKeys, options?: OpenOptions) =>
  keyed(
    files,
    keys,
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const snapshot = yield* store.open(directory, options)
      return { snapshot, timeline: new TextDecoder().decode(yield* store.timeline(snapshot)) }
    }).pipe(Effect.result)
  )

const reasonOf = (outcome: Effect.Success<ReturnType<typeof used>>): string => {
  if (Result.isSuccess(outcome)) return "used"
  const { reason } = outcome.failure
  return reason._tag === "ParentRefused" ? reason.cause._tag : reason._tag
}

const detail = "the probe said: secret"

/** An encrypted delta at `/s/delta`, with a verdict or without, and its parent at `/s/full`. */
const encryptedDelta = (files: MemoryFiles, keys: SnapshotKeys = { encryptionKey: ours }, hasVerdict = true) =>
  keyed(
    files,
    keys,
    Effect.gen(function* () {
      yield* files.shape.makeDirectory("/s")
      const parent = yield* publishSample("/s/full", "full")
      const delta = yield* publishSample("/s/delta", "delta", { parent })
      // A verdict is bound to the manifest, too: without one, nothing but the tag is.
      if (!hasVerdict) return delta
      const workingSet = { pages: 1, ranges: [{ address: 4096, pages: 1 }] }
      return yield* (yield* SnapshotStore).recordValidation(delta, { verdict: "passed", detail, workingSet })
    })
  )

const textIn = (files: MemoryFiles, path: string): string => {
  let text = ""
  files.alter(path, (bytes) => {
    text = new TextDecoder().decode(bytes)
    return bytes
  })
  return text
}

const write = (files: MemoryFiles, path: string, text: string): void =>
  files.alter(path, () => new TextEncoder().encode(text))

const pretty = (record: unknown): string => `${JSON.stringify(record, null, 2)}\n`

/** Adapts every digest that anyone can compute: of files in the manifest, of the manifest, and of the verdict. */
const reseal = (files: MemoryFiles, change: (record: Record<string, unknown>) => void = () => {}): void => {
  const at = "/s/delta/manifest.json"
  const record = JSON.parse(textIn(files, at)) as Record<string, unknown> & Manifest
  const contents = join("/s/delta", record.contents)
  const list = record.files.map((file) => {
    let [sizeBytes, found] = [0, ""]
    files.alter(join(contents, file.name), (bytes) => {
      ;[sizeBytes, found] = [bytes.length, sha256(bytes)]
      return bytes
    })
    const { verification } = file
    return {
      ...file,
      sizeBytes,
      verification: "sha256" in verification ? { ...verification, sha256: found } : verification
    }
  })
  const changed: Record<string, unknown> = { ...record, files: list }
  change(changed)
  const digest = sealOf(changed)
  write(files, at, pretty({ ...changed, digest }))
  const verdict = join(contents, "validation.json")
  if (!files.paths().includes(verdict)) return
  const validation = { ...(JSON.parse(textIn(files, verdict)) as Record<string, unknown>), manifestDigest: digest }
  write(files, verdict, `${JSON.stringify({ ...validation, digest: sealOf(validation) })}\n`)
}

const contentsOf = ({ directory, manifest }: Snapshot): string => join(directory, manifest.contents)

describe("an encrypted snapshot", () => {
  it.effect("is-what-it-was-with-its-key-and-shows-nothing-that-is-recorded-without", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      const published = yield* encryptedDelta(files)
      assert.strictEqual(published.manifest.encryption?.keyId, ourId)
      for (const encryptionKey of [ours, Redacted.value(ours)]) {
        const outcome = yield* used(files, "/s/delta", { encryptionKey })
        assert(Result.isSuccess(outcome))
        assert.strictEqual(outcome.success.timeline, '{"timeline":"delta"}\n')
        assert.strictEqual(outcome.success.snapshot.validation?.detail, detail)
        assert.strictEqual(outcome.success.snapshot.validation?.workingSet?.pages, 1)
      }
      const stored = files.paths().map((path) => textIn(files, path))
      for (const text of ['"timeline":"delta"', "secret", Buffer.from(Redacted.value(ours)).toString("latin1")]) {
        assert.notInclude(stored.join(""), text)
      }
      const locked = yield* keyed(
        files,
        {},
        SnapshotStore.use((store) => store.open("/s/delta", { allowLocked: true }))
      )
      assert.strictEqual(locked.validation?.verdict, "passed")
      assert.strictEqual(locked.validation?.workingSet, null)
      assert.notInclude(JSON.stringify(published), Buffer.from(Redacted.value(ours)).toString("hex"))
    })
  )

  it.effect("is-refused-without-its-key-whoever-opened-it-before", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* encryptedDelta(files)
      const plain = new MemoryFiles()
      yield* encryptedDelta(plain, {})
      for (let round = 0; round < 2; round++) {
        assert.strictEqual(reasonOf(yield* used(files, "/s/delta", { encryptionKey: ours })), "used")
        const missing = yield* used(files, "/s/delta", {})
        assert(Result.isFailure(missing) && missing.failure.reason._tag === "KeyMissing")
        assert.strictEqual(missing.failure.reason.expected, ourId)
        const wrong = yield* used(files, "/s/delta", { encryptionKey: others })
        assert(Result.isFailure(wrong) && wrong.failure.reason._tag === "KeyWrong")
        assert.deepStrictEqual([wrong.failure.reason.expected, wrong.failure.reason.found], [ourId, otherId])
        assert.strictEqual(reasonOf(yield* used(plain, "/s/delta", { encryptionKey: ours })), "NotEncrypted")
        assert.strictEqual(reasonOf(yield* used(plain, "/s/delta", {})), "used")
        assert.strictEqual(reasonOf(yield* used(files, "/s/delta", {}, { allowLocked: true })), "KeyMissing")
        const locked = SnapshotStore.use((store) => store.open("/s/delta", { allowLocked: true }))
        assert.strictEqual((yield* keyed(files, { encryptionKey: others }, locked)).encryptionKey, undefined)
      }
    })
  )

  it("no-byte-of-it-can-be-changed-by-whoever-has-no-key", async () => {
    // Changes that pass every check that can be made without the key, and of them those that only the key shows.
    let [passed, tried] = [0, 0]
    const change = fc.record({
      which: fc.nat(),
      at: fc.nat(),
      by: fc.integer({ min: 1, max: 255 }),
      hasVerdict: fc.boolean()
    })
    await fc.assert(
      fc.asyncProperty(change, ({ at, by, hasVerdict, which }) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const files = new MemoryFiles()
            const contents = contentsOf(yield* encryptedDelta(files, { encryptionKey: ours }, hasVerdict))
            // Memory is checked by chunk, by the machine.
            const isWhole = (path: string) => /\.(ndjson|digests)$|machine\.bin$|validation\.json$/.test(path)
            const paths = files.paths().filter((path) => path.startsWith(contents) && isWhole(path))
            const path = paths[which % paths.length] ?? ""
            const before = textIn(files, path)
            files.alter(path, (bytes) => bytes.map((byte, index) => (index === at % bytes.length ? byte ^ by : byte)))
            yield* Effect.ignore(Effect.try(() => reseal(files)))
            // A digest that was changed, and computed anew.
            if (textIn(files, path) === before) return
            const locked = SnapshotStore.use((store) => store.open("/s/delta", { allowLocked: true }))
            if (Result.isSuccess(yield* Effect.result(keyed(files, {}, locked)))) {
              passed += 1
              assert.strictEqual(reasonOf(yield* used(files, "/s/delta", { encryptionKey: ours })), "FileForged")
            } else {
              assert.notStrictEqual(reasonOf(yield* used(files, "/s/delta", { encryptionKey: ours })), "used")
            }
            tried += 1
          })
        )
      ),
      { numRuns: 200 }
    )
    assert.isAbove(passed, tried / 3, `${passed} of ${tried}`)
  })

  it.effect("nothing-in-its-manifest-can-be-changed-by-whoever-has-no-key", () =>
    Effect.gen(function* () {
      const forgeries: Readonly<Record<string, (record: Record<string, unknown>) => void>> = {
        runId: (record) => (record["runId"] = "another"),
        capture: (record) => (record["capture"] = { ...(record["capture"] as object), isWorkloadFrozen: true }),
        identity: (record) => (record["identity"] = "full"),
        provenance: (record) => (record["provenance"] = { _tag: "Forged" }),
        salt: (record) => (record["encryption"] = { ...(record["encryption"] as object), salt: "0".repeat(64) }),
        tag: (record) => (record["encryption"] = { ...(record["encryption"] as object), tag: "0".repeat(64) })
      }
      for (const [name, forge] of Object.entries(forgeries)) {
        const files = new MemoryFiles()
        yield* encryptedDelta(files, { encryptionKey: ours }, false)
        reseal(files, forge)
        yield* keyed(
          files,
          {},
          SnapshotStore.use((store) => store.open("/s/delta", { allowLocked: true }))
        )
        assert.strictEqual(reasonOf(yield* used(files, "/s/delta", { encryptionKey: ours })), "FileForged", name)
      }
      const files = new MemoryFiles()
      yield* encryptedDelta(files)
      reseal(files, (record) => delete record["encryption"])
      // Its parent is encrypted, and it is not.
      assert.strictEqual(reasonOf(yield* used(files, "/s/delta", {}, { allowLocked: true })), "KeyMissing")
      assert.strictEqual(reasonOf(yield* used(files, "/s/delta", { encryptionKey: ours })), "NotEncrypted")
    })
  )

  it.effect("has-parents-of-the-same-key-and-nothing-else-is-published-by-a-store-with-a-key", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/s")
      const publishing = (keys: SnapshotKeys, name: string, parent?: Snapshot) =>
        keyed(files, keys, publishSample(`/s/${name}`, name, parent === undefined ? {} : { parent }))
      const plain = yield* publishing({}, "plain")
      const encrypted = yield* publishing({ encryptionKey: ours }, "encrypted")
      const refused = (keys: SnapshotKeys, parent: Snapshot) =>
        Effect.map(Effect.flip(publishing(keys, "delta", parent)), (error) =>
          "reason" in error ? error.reason._tag : error._tag
        )
      assert.strictEqual(yield* refused({}, encrypted), "KeyMissing")
      assert.strictEqual(yield* refused({ encryptionKey: others }, encrypted), "KeyWrong")
      assert.strictEqual(yield* refused({ encryptionKey: ours }, plain), "NotEncrypted")
      yield* publishing({ encryptionKey: ours }, "delta", encrypted)
      // A machine that ignores the key.
      const ignoring = keyed(
        files,
        { encryptionKey: ours },
        publishSample("/s/ignored", "ignored", { ignoresKey: true })
      )
      const error = yield* Effect.flip(ignoring)
      assert.strictEqual("reason" in error ? error.reason._tag : "", "NotEncrypted")
      assert.isFalse(files.paths().some((path) => path.startsWith("/s/ignored")))
    })
  )

  it.effect("a-key-of-another-form-is-refused-and-not-told", () =>
    Effect.gen(function* () {
      for (const encryptionKey of [new Uint8Array(31).fill(65), "A".repeat(32), Redacted.make("A".repeat(32)), 7]) {
        const error = yield* Effect.flip(
          keyed(new MemoryFiles(), { encryptionKey: encryptionKey as never }, SnapshotStore)
        )
        assert.strictEqual(error._tag, "KeyInvalid")
        assert.match(error.message, /encryptionKey: expected 32 bytes/)
        assert.notMatch(error.message, /AAA|65,65/)
      }
    })
  )
})
