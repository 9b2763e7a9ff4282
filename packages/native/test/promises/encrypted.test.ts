import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  compactSnapshot,
  DurableFiles,
  Gate,
  Pipeline,
  restoreSnapshot,
  type SnapshotKeys,
  Snapshots,
  SnapshotStore,
  Vmm
} from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer, Redacted, Stream } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

const keyOf = (byte: number) => Redacted.make(new Uint8Array(32).fill(byte))
const [ours, others] = [keyOf(7), keyOf(8)]

const secret = "correct-horse-battery-staple"

/** Does something with a store that has these keys. */
const keyed =
  (keys: SnapshotKeys) =>
  <A, E, R>(work: Effect.Effect<A, E, R>) =>
    Effect.provide(work, Layer.provide(SnapshotStore.layerKeyed(keys), DurableFiles.layer), { local: true })

describe("snapshots of a store with an encryption key", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("are-captured-restored-and-compacted-with-it-and-show-no-secret-of-the-guest", () =>
      Effect.gen(function* () {
        const home = yield* folder
        const spec = yield* linux(["/bin/sh", "-c", `export SECRET=${secret}; echo $SECRET; exec sleep 1000000`])
        const program = Effect.gen(function* () {
          const taken = yield* Pipeline.repeat(spec, {
            policy: kindTrigger("HeartbeatTick", 3),
            target: (index) => join(home, `beat-${index}`),
            deltas: true,
            validate: Pipeline.execProbe({ argv: ["true"] })
          }).pipe(Stream.take(2), Stream.runCollect, Effect.scoped)
          return taken.map(({ value }) => value.snapshot)
        }).pipe(keyed({ encryptionKey: ours }))
        const [full, delta] = yield* program
        if (full === undefined || delta === undefined) return assert.fail("expected two snapshots")
        assert.strictEqual(delta.manifest.encryption?.keyId, full.manifest.encryption?.keyId)
        assert.notStrictEqual(delta.manifest.encryption?.salt, full.manifest.encryption?.salt)
        let files = 0
        for (const contents of delta.layers) {
          for (const name of readdirSync(contents)) {
            files += 1
            const bytes = readFileSync(join(contents, name))
            assert.isFalse(bytes.includes(secret), `${name} has the secret`)
            assert.isFalse(bytes.includes(Buffer.from(Redacted.value(ours))), `${name} has the key`)
          }
        }
        assert.isAbove(files, 8)

        const whole = yield* keyed({ encryptionKey: ours })(compactSnapshot(delta.directory, join(home, "whole")))
        assert.strictEqual(whole.manifest.encryption?.keyId, delta.manifest.encryption?.keyId)
        assert.isAbove(delta.validation?.workingSet?.pages ?? 0, 0)
        assert.deepStrictEqual(whole.validation?.workingSet, delta.validation?.workingSet)
        for (const { directory } of [delta, whole]) {
          const restored = Effect.gen(function* () {
            const { machine } = yield* Gate.restore(directory)
            const { stdout } = yield* machine.exec({ argv: ["sh", "-c", "cat /proc/[0-9]*/environ"] })
            assert.include(new TextDecoder().decode(stdout), secret)
          }).pipe(Effect.scoped)
          yield* keyed({ encryptionKey: ours })(restored)
          for (const [keys, expected] of [
            [{}, "KeyMissing"],
            [{ encryptionKey: others }, "KeyWrong"]
          ] as const) {
            const error = yield* Effect.flip(keyed(keys)(restored))
            assert(error._tag === "GateError" && error.reason._tag === "SnapshotRefused")
            assert.strictEqual(error.reason.cause._tag, expected)
          }
        }
        // The machine itself asks for the key, whoever has opened the snapshot.
        const vmm = yield* Vmm
        const [newest = "", ...parents] = delta.layers
        const direct = (encryptionKey?: typeof ours) =>
          Effect.scoped(vmm.restore(newest, { parents, ...(encryptionKey === undefined ? {} : { encryptionKey }) }))
        yield* direct(ours)
        assert.strictEqual((yield* Effect.flip(direct())).reason._tag, "KeyMissing")
        assert.strictEqual((yield* Effect.flip(direct(others))).reason._tag, "KeyWrong")
        const locked = yield* keyed({})(
          SnapshotStore.use((store) => store.open(delta.directory, { allowLocked: true }))
        )
        assert.strictEqual((yield* Effect.flip(Effect.scoped(restoreSnapshot(locked)))).reason._tag, "KeyMissing")
      })
    )

    it.effect("are-listed-signed-verified-and-removed-without-it-in-a-store-with-names", () =>
      Effect.gen(function* () {
        const home = yield* folder
        const spec = yield* linux(["sleep", "1000000"])
        const inStore = <A, E, R>(keys: SnapshotKeys, work: Effect.Effect<A, E, R>) =>
          keyed(keys)(Effect.provide(work, Snapshots.layerHost({ home, ...keys }), { local: true }))
        yield* inStore(
          { encryptionKey: ours },
          Effect.gen(function* () {
            const snapshots = yield* Snapshots
            const target = yield* snapshots.draft
            yield* Pipeline.run(spec, { policy: kindTrigger("HeartbeatTick", 1), target })
            yield* snapshots.keep(target, "web")
          }).pipe(Effect.scoped)
        )
        assert.deepStrictEqual(readdirSync(join(home, "snapshots", "objects")), [])
        yield* inStore(
          {},
          Effect.gen(function* () {
            const snapshots = yield* Snapshots
            const [listed] = yield* snapshots.list
            assert.strictEqual(listed?.problem, null)
            yield* snapshots.tag("web", "again")
            yield* snapshots.verify("web")
            assert.strictEqual((yield* Effect.flip(snapshots.get("web"))).reason._tag, "SnapshotOpenError")
          })
        )
        yield* inStore(
          { encryptionKey: ours },
          Snapshots.use((snapshots) => snapshots.verify("web"))
        )
        yield* inStore(
          {},
          Snapshots.use((snapshots) => Effect.andThen(snapshots.remove("web"), snapshots.remove("again")))
        )
      })
    )
  })
})
