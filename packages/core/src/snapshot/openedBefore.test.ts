import {
  copyFile,
  link,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  unlink,
  utimes,
  writeFile
} from "node:fs/promises"
import { generateKeyPairSync } from "node:crypto"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { DurableFiles, type DurableFilesShape } from "../files/DurableFiles.ts"
import { hostFiles } from "../files/hostFiles.ts"
import { publishSample, sampleObject } from "../testing/sampleSnapshots.ts"
import { readVerifyingKey } from "./Signature.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "stillpoint-opened-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

/** The host's files, which say that they changed so long ago, and count what is read. */
const counted = (ageMillis: number) => {
  const count = { reads: 0 }
  const counting =
    <Given extends ReadonlyArray<unknown>, A, E>(read: (...given: Given) => Effect.Effect<A, E>) =>
    (...given: Given) =>
      Effect.suspend(() => {
        count.reads += 1
        return read(...given)
      })
  const files: DurableFilesShape = {
    ...hostFiles,
    read: counting(hostFiles.read),
    digest: counting(hostFiles.digest),
    stamp: (...given) =>
      Effect.map(hostFiles.stamp?.(...given) ?? Effect.succeed(null), (found) => found && { ...found, ageMillis })
  }
  const on = Layer.succeed(DurableFiles, files)
  return { count, on, layer: Layer.provideMerge(SnapshotStore.layer, on) }
}

const aYear = 365 * 86_400_000

/** Changes to a file that has been opened; its times say so, whatever the step of the file system's clock. */
const changes: Readonly<Record<string, (path: string) => Promise<void>>> = {
  "a-flipped-bit": async (path) => {
    const bytes = await readFile(path)
    const middle = bytes.length >> 1
    bytes[middle] = (bytes[middle] ?? 0) ^ 1
    await writeFile(path, bytes)
    await utimes(path, 1, 1)
  },
  "a-longer-one": async (path) => writeFile(path, "more", { flag: "a" }),
  none: unlink,
  "a-link-to-an-equal-one": async (path) => {
    await rename(path, `${path}-moved`)
    await symlink(`${path}-moved`, path)
  }
}

describe("a snapshot that was opened before", () => {
  it.live("is-not-read-again", () => {
    const { count, layer } = counted(aYear)
    return Effect.gen(function* () {
      const store = yield* SnapshotStore
      const target = join(yield* folder, "snapshot")
      yield* publishSample(target, "one")
      const first = yield* store.open(target)
      count.reads = 0
      const second = yield* store.open(target)
      assert.deepStrictEqual(second, first)
      assert.strictEqual(count.reads, 0)
      // Elsewhere is elsewhere.
      assert.strictEqual((yield* Effect.flip(store.open(`${target}-2`))).reason._tag, "SnapshotMissing")
      assert.strictEqual(
        (yield* Effect.flip(store.open(target, { digest: "0".repeat(64) }))).reason._tag,
        "SnapshotReplaced"
      )
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("is-not-read-again-by-another-store-unless-that-one-requires-signatures", () => {
    const { count, layer, on } = counted(aYear)
    return Effect.gen(function* () {
      const target = join(yield* folder, "snapshot")
      const { publicKey } = generateKeyPairSync("ed25519")
      const pem = publicKey.export({ type: "spki", format: "pem" })
      const requiredKeys = [yield* readVerifyingKey(String(pem))]
      const opened = SnapshotStore.use((store) => Effect.result(store.open(target)))
      yield* publishSample(target, "one").pipe(Effect.provide(layer, { local: true }))
      yield* opened.pipe(Effect.provide(layer, { local: true }))
      count.reads = 0
      const again = yield* opened.pipe(Effect.provide(Layer.provide(SnapshotStore.layer, on), { local: true }))
      assert.deepStrictEqual([again._tag, count.reads], ["Success", 0])
      const keyed = Layer.provide(SnapshotStore.layerKeyed({ requiredKeys }), on)
      for (let time = 0; time < 2; time++) {
        const refused = yield* opened.pipe(Effect.provide(keyed, { local: true }))
        assert.strictEqual(refused._tag === "Failure" ? refused.failure.reason._tag : "opened", "SnapshotNotSigned")
      }
    }).pipe(Effect.scoped)
  })

  it.live("is-read-again-if-its-files-had-just-changed", () => {
    const { count, layer } = counted(99)
    return Effect.gen(function* () {
      const store = yield* SnapshotStore
      const target = join(yield* folder, "snapshot")
      yield* publishSample(target, "one")
      yield* store.open(target)
      count.reads = 0
      yield* store.open(target)
      assert.isAbove(count.reads, 1)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  it.live("is-not-read-again-because-another-snapshot-has-its-objects-too", () => {
    const { count, layer } = counted(aYear)
    return Effect.gen(function* () {
      const store = yield* SnapshotStore
      const where = yield* folder
      const target = join(where, "snapshot")
      const { layers } = yield* publishSample(target, "one")
      const [contents = ""] = layers
      const readsAfterALinkTo = Effect.fnUntraced(function* (name: string) {
        yield* store.open(target)
        yield* Effect.promise(async () => {
          const path = join(contents, name)
          const { ctimeNs } = await stat(path, { bigint: true })
          // Whatever the step of the file system's clock.
          for (let at = 0; (await stat(path, { bigint: true })).ctimeNs === ctimeNs; at++) {
            await link(path, join(where, `${name}-${at}`))
          }
        })
        count.reads = 0
        yield* store.open(target)
        return count.reads
      })
      assert.strictEqual(yield* readsAfterALinkTo(sampleObject), 0)
      assert.isAbove(yield* readsAfterALinkTo("timeline.ndjson"), 0)
    }).pipe(Effect.scoped, Effect.provide(layer))
  })

  for (const [change, make] of Object.entries(changes)) {
    it.live(`is-refused-after-any-change-to-a-file:${change}`, () =>
      Effect.gen(function* () {
        const store = yield* SnapshotStore
        const where = yield* folder
        const target = join(where, "snapshot")
        const { layers } = yield* publishSample(target, "one")
        const [contents = ""] = layers
        const names = (yield* Effect.promise(() => readdir(contents))).filter((name) => !name.startsWith("owner"))
        const paths = [join(target, "manifest.json"), ...names.map((name) => join(contents, name))]
        assert.isAbove(paths.length, 2)
        for (const path of paths) {
          yield* store.open(target)
          yield* Effect.promise(() => copyFile(path, join(where, "kept")))
          yield* Effect.promise(() => make(path))
          // Memory is checked when it is touched.
          const isMemory = path.endsWith("memory.bin") || path.endsWith(sampleObject)
          if (change !== "a-flipped-bit" || !isMemory) {
            yield* Effect.flip(store.open(target))
          }
          yield* Effect.promise(async () => {
            await rm(path, { force: true })
            await copyFile(join(where, "kept"), path)
          })
        }
      }).pipe(Effect.scoped, Effect.provide(counted(aYear).layer))
    )
  }

  it.live("is-another-one-after-it-was-replaced", () =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      const target = join(yield* folder, "snapshot")
      for (const name of ["one", "two", "three"]) {
        yield* publishSample(target, name, { replace: true })
        for (let time = 0; time < 2; time++) assert.strictEqual((yield* store.open(target)).manifest.runId, name)
      }
      yield* store.remove(target)
      yield* Effect.flip(store.open(target))
    }).pipe(Effect.scoped, Effect.provide(counted(aYear).layer))
  )
})
