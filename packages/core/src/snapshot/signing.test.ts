import { generateKeyPairSync } from "node:crypto"
import { basename, join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema } from "effect"
import * as fc from "fast-check"
import type { DurableFiles } from "../files/DurableFiles.ts"
import { Snapshots } from "../names/Snapshots.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { publishSample } from "../testing/sampleSnapshots.ts"
import { keepSample } from "../testing/sampleStore.ts"
import { Manifest, sealOf } from "./Manifest.ts"
import { KeyInvalid, readVerifyingKey, SigningKey } from "./Signature.ts"
import { type SnapshotKeys, SnapshotStore } from "./SnapshotStore.ts"
import { makeValidation } from "./Validation.ts"

const pemOf = () => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  return {
    secret: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    open: publicKey.export({ type: "spki", format: "pem" }).toString()
  }
}
const ours = Effect.runSync(SigningKey.read(pemOf().secret))
const others = Effect.runSync(SigningKey.read(pemOf().secret))
const required = { requiredKeys: [ours.verifying] } satisfies SnapshotKeys

/** Does something as a process whose store has these keys. */
const keyed = <A, E>(files: MemoryFiles, keys: SnapshotKeys, work: Effect.Effect<A, E, SnapshotStore | DurableFiles>) =>
  Effect.provide(work, Layer.provideMerge(SnapshotStore.layerKeyed(keys), files.layer), { local: true })

const withNames = <A, E>(
  files: MemoryFiles,
  keys: SnapshotKeys,
  work: Effect.Effect<A, E, Snapshots | SnapshotStore | DurableFiles>
) =>
  keyed(files, keys, Effect.provide(work, Layer.fresh(Snapshots.layer({ home: "/data/stillpoint" })), { local: true }))

const opened = (files: MemoryFiles, directory: string, keys: SnapshotKeys = required) =>
  keyed(files, keys, Effect.result(SnapshotStore.use((store) => store.open(directory, { allowUnvalidated: true }))))

/** Reason of a refusal; empty where it was opened. */
const reasonOf = (outcome: Effect.Success<ReturnType<typeof opened>>): string =>
  Result.isFailure(outcome) ? outcome.failure.reason._tag : ""

/** A signed delta with a verdict, at `/s/delta`, and what it was taken against. */
const signedDelta = (files: MemoryFiles) =>
  keyed(
    files,
    { signingKey: ours },
    Effect.gen(function* () {
      yield* files.shape.makeDirectory("/s")
      const parent = yield* publishSample("/s/full", "full")
      return yield* publishSample("/s/delta", "delta", { parent, verdict: "passed" })
    })
  )

const altered = (files: MemoryFiles, path: string, change: (text: string) => string) =>
  files.alter(path, (bytes) => new TextEncoder().encode(change(new TextDecoder().decode(bytes))))

const mutation = fc.oneof(
  fc.record({
    how: fc.constant("flip" as const),
    at: fc.nat(),
    // Many a digit becomes another one by its last bit.
    by: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 255 }))
  }),
  fc.record({ how: fc.constant("cut" as const), at: fc.nat(), by: fc.constant(0) }),
  fc.record({ how: fc.constant("insert" as const), at: fc.nat(), by: fc.nat(255) })
)

const mutated = (bytes: Uint8Array, { at, by, how }: typeof mutation extends fc.Arbitrary<infer A> ? A : never) => {
  const place = at % Math.max(1, bytes.length)
  if (how === "cut") return bytes.subarray(0, place)
  if (how === "insert") return Uint8Array.of(...bytes.subarray(0, place), by, ...bytes.subarray(place))
  return bytes.map((byte, index) => (index === place ? byte ^ by : byte))
}

describe("a store that requires signatures", () => {
  it("any-byte-that-is-another-one-is-refused-by-name-or-changes-nothing", async () => {
    const seen = new Map<string, number>()
    await fc.assert(
      fc.asyncProperty(fc.nat(), mutation, (which, one) =>
        Effect.runPromise(
          Effect.gen(function* () {
            const files = new MemoryFiles()
            const { manifest } = yield* signedDelta(files)
            // Memory is checked by chunk, when it is touched: by the machine.
            const paths = files.paths().filter((path) => /\.(json|ndjson|digests)$|machine\.bin$/.test(path))
            const path = paths[which % paths.length] ?? ""
            files.alter(path, (bytes) => mutated(bytes, one))
            const outcome = yield* opened(files, "/s/delta")
            if (Result.isSuccess(outcome)) {
              assert.deepStrictEqual(outcome.success.manifest, manifest)
              assert.strictEqual(outcome.success.validation?.verdict, "passed")
              // The owner record is for readers, and a parent is named by its digest, whatever its
              // signatures.
              assert.match(path, /owner\.json$|full\/.*(signatures|validation)\.json$/)
            }
            const reason = Result.isFailure(outcome) ? outcome.failure.reason._tag : `opened despite ${basename(path)}`
            seen.set(reason, (seen.get(reason) ?? 0) + 1)
          })
        )
      ),
      { numRuns: 300 }
    )
    for (const reason of ["ManifestUnreadable", "SnapshotFileAltered", "SnapshotFileResized", "ParentRefused"]) {
      assert.isAbove(seen.get(reason) ?? 0, 0, `${reason} of ${JSON.stringify([...seen])}`)
    }
  })

  it.effect("who-seals-what-they-changed-has-not-signed-it", () =>
    Effect.gen(function* () {
      const forgeries: Readonly<Record<string, (files: MemoryFiles, contents: string) => void>> = {
        SnapshotNotSigned: (files, contents) => {
          let digest = ""
          altered(files, "/s/delta/manifest.json", (text) => {
            const record = { ...(JSON.parse(text) as object), runId: "another" }
            digest = sealOf(record)
            return `${JSON.stringify({ ...record, digest }, null, 2)}\n`
          })
          altered(files, join(contents, "signatures.json"), (text) => {
            return text.replace(/"manifestDigest":"[0-9a-f]+"/, `"manifestDigest":"${digest}"`)
          })
        },
        // The signatures of one snapshot are none of another.
        ManifestUnreadable: (files, contents) => {
          const manifest = Schema.decodeUnknownSync(Manifest)(JSON.parse(readText(files, "/s/full/manifest.json")))
          const theirs = readText(files, join("/s/full", manifest.contents, "signatures.json"))
          altered(files, join(contents, "signatures.json"), () => theirs)
        }
      }
      for (const [expected, forge] of Object.entries(forgeries)) {
        const files = new MemoryFiles()
        const { layers } = yield* signedDelta(files)
        assert.strictEqual(reasonOf(yield* opened(files, "/s/delta")), "")
        forge(files, layers[0] ?? "")
        assert.strictEqual(reasonOf(yield* opened(files, "/s/delta")), expected)
      }
      // Nor is a verdict that another one was put in the place of, or that was taken away.
      for (const change of ["another", "none"]) {
        const files = new MemoryFiles()
        const { layers, manifest } = yield* signedDelta(files)
        const path = join(layers[0] ?? "", "validation.json")
        const forged = makeValidation({
          manifestDigest: manifest.digest,
          verdict: "passed",
          detail: "as if",
          workingSet: null
        })
        if (change === "none") yield* files.shape.removeTree(path)
        else altered(files, path, () => `${JSON.stringify(forged)}\n`)
        assert.strictEqual(reasonOf(yield* opened(files, "/s/delta", {})), "")
        const refused = yield* Effect.flip(Effect.fromResult(yield* opened(files, "/s/delta")))
        assert.include(refused.message, "found a signature for a different validation verdict")
      }
    })
  )

  it.effect("what-is-not-signed-is-refused-before-anything-but-its-manifest-is-read", () =>
    Effect.gen(function* () {
      for (const [signingKey, found] of [
        [undefined, "found no signature"],
        [others, `found signatures of ${others.id.slice(0, 12)}`]
      ] as const) {
        const files = new MemoryFiles()
        yield* files.shape.makeDirectory("/s")
        const keys = signingKey === undefined ? {} : { signingKey }
        const { layers } = yield* keyed(files, keys, publishSample("/s/one", "one", { verdict: "failed" }))
        // Were anything of it read, it would be missed.
        for (const name of ["machine.bin", "timeline.ndjson", "memory.digests", "validation.json"]) {
          yield* files.shape.removeTree(join(layers[0] ?? "", name))
        }
        const refused = yield* Effect.flip(Effect.fromResult(yield* opened(files, "/s/one")))
        assert.strictEqual(refused.reason._tag, "SnapshotNotSigned")
        assert.include(refused.message, `expected a signature by one of the keys ${ours.id.slice(0, 12)}, ${found}`)
        assert.strictEqual(reasonOf(yield* opened(files, "/s/one", { requiredKeys: [] })), "SnapshotNotSigned")
        assert.strictEqual(reasonOf(yield* opened(files, "/s/one", {})), "SnapshotFileMissing")
      }
    })
  )

  it.effect("a-verdict-that-is-recorded-later-is-signed-with-it-at-every-moment", () =>
    Effect.gen(function* () {
      let failures = 0
      for (let at = 0; at < 12; at++) {
        const files = new MemoryFiles()
        yield* files.shape.makeDirectory("/s")
        const signs = { signingKey: ours }
        const snapshot = yield* keyed(files, signs, publishSample("/s/one", "one", { validation: "required" }))
        files.injectFault({ atOperation: files.operations + at, code: at % 2 === 0 ? "crash" : "EIO" })
        const verdict = { verdict: "passed", detail: "it answers", workingSet: null } as const
        const recorded = yield* keyed(
          files,
          signs,
          Effect.result(SnapshotStore.use((store) => store.recordValidation(snapshot, verdict)))
        )
        if (Result.isFailure(recorded)) failures += 1
        files.reboot((outcomes) => outcomes - 1)
        // Whatever stands there, with its verdict or without, is signed.
        assert.strictEqual(reasonOf(yield* opened(files, "/s/one")), "")
      }
      assert.isAbove(failures, 4)
    })
  )

  it.effect("a-snapshot-that-is-there-takes-the-signatures-of-its-like", () =>
    Effect.gen(function* () {
      const files = new MemoryFiles()
      yield* files.shape.makeDirectory("/data")
      const { digest } = yield* withNames(files, {}, keepSample("one", "web"))
      const get = Effect.result(Snapshots.use((snapshots) => snapshots.get("web")))
      const refused = yield* Effect.flip(Effect.fromResult(yield* withNames(files, required, get)))
      assert.include(refused.message, "found no signature")
      const listed = yield* withNames(
        files,
        required,
        Snapshots.use((snapshots) => snapshots.list)
      )
      assert.include(listed[0]?.problem, "found no signature")
      for (const key of [others, ours]) {
        yield* withNames(
          files,
          {},
          Snapshots.use((snapshots) => snapshots.sign("web", key))
        )
      }
      const signers = yield* withNames(
        files,
        {},
        Snapshots.use((snapshots) => snapshots.signers("web"))
      )
      assert.deepStrictEqual(signers, [others.id, ours.id])
      assert.strictEqual((yield* Effect.fromResult(yield* withNames(files, required, get))).manifest.digest, digest)
    })
  )

  it.effect("what-is-no-key-is-refused-and-not-shown", () =>
    Effect.gen(function* () {
      const { open, secret } = pemOf()
      const rsa = generateKeyPairSync("rsa", { modulusLength: 1024 })
      const wrong: ReadonlyArray<unknown> = [
        "s3cret",
        undefined,
        secret.replace(/\n[^-]/, "\n!"),
        rsa.privateKey.export({ type: "pkcs8", format: "pem" }),
        rsa.publicKey.export({ type: "spki", format: "pem" })
      ]
      for (const text of wrong) {
        for (const read of [SigningKey.read, readVerifyingKey]) {
          const refused = yield* Effect.flip(read(text as string) as Effect.Effect<unknown, KeyInvalid>)
          assert.instanceOf(refused, KeyInvalid)
          assert.notInclude(refused.message, "s3cret")
        }
      }
      // A key of the other kind is reported.
      assert.include((yield* Effect.flip(SigningKey.read(open))).message, "found a PUBLIC KEY")
      assert.include((yield* Effect.flip(readVerifyingKey(secret))).message, "found a PRIVATE KEY")
      assert.strictEqual((yield* readVerifyingKey(open)).id, (yield* SigningKey.read(secret)).id)
      assert.notInclude(JSON.stringify(yield* SigningKey.read(secret)), secret.split("\n")[1] ?? "")
    })
  )
})

const readText = (files: MemoryFiles, path: string): string => {
  let text = ""
  altered(files, path, (found) => (text = found))
  return text
}
