import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as fc from "fast-check"
import * as Gate from "../gate/Gate.ts"
import { Journal } from "../journal/Journal.ts"
import * as Pipeline from "../pipeline/Pipeline.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { Vmm } from "../Vmm.ts"
import { compactSnapshot } from "./compact.ts"
import { restoreSnapshot } from "./restoreSnapshot.ts"
import { SnapshotStore } from "./SnapshotStore.ts"

const host = (files: MemoryFiles) =>
  Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(), SnapshotStore.layer, Journal.layerMemory), files.layer)

/** A chain of captures at the heartbeats of a guest, validated if asked. */
const chain = (isValidated = false) =>
  Pipeline.repeat(
    { kernelPath: "/kernel" },
    {
      policy: kindTrigger("HeartbeatTick", 3),
      target: (index) => `/s/beat-${index}`,
      deltas: true,
      ...(isValidated ? { validate: Pipeline.execProbe({ argv: ["echo", "alive"] }) } : {})
    }
  ).pipe(Stream.runCollect, Effect.scoped)

const digestOf = (directory: string) =>
  Effect.scoped(
    Effect.gen(function* () {
      return yield* (yield* restoreSnapshot(yield* (yield* SnapshotStore).open(directory))).digest
    })
  )

describe("a policy that repeats, in deltas", () => {
  it.effect("takes-each-snapshot-against-the-one-before", () =>
    Effect.gen(function* () {
      const taken = yield* chain(true)
      const snapshots = taken.map(({ value }) => value.snapshot)
      assert.deepStrictEqual(
        snapshots.map(({ parents }) => parents),
        [[], ["/s/beat-0"], ["/s/beat-1", "/s/beat-0"]]
      )
      for (const { directory, manifest } of snapshots) {
        const { machine } = yield* Gate.restore(directory)
        assert.isAtLeast(yield* machine.nowNanos, manifest.capture.atNanos)
      }
    }).pipe(Effect.scoped, Effect.provide(host(new MemoryFiles())))
  )
})

describe("a compacted chain", () => {
  it.effect("is-a-full-snapshot-of-the-same-machine-moment-and-verdict", () =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      yield* chain(true)
      const original = yield* store.open("/s/beat-2")
      const compacted = yield* compactSnapshot("/s/beat-2", "/s/whole")
      assert.strictEqual(yield* digestOf("/s/whole"), yield* digestOf("/s/beat-2"))
      const opened = yield* store.open("/s/whole")
      assert.deepStrictEqual(opened, compacted)
      assert.deepStrictEqual(opened.parents, [])
      assert.isNull(opened.manifest.parent)
      for (const key of ["runId", "capture", "provenance", "policy", "configuration", "engine"] as const) {
        assert.deepStrictEqual(opened.manifest[key], original.manifest[key])
      }
      assert.strictEqual(opened.validation?.verdict, "passed")
      assert.deepStrictEqual(opened.validation?.workingSet, original.validation?.workingSet)
      assert.deepStrictEqual(yield* store.timeline(opened), yield* store.timeline(original))
      // It needs nothing of the chain any more.
      for (const index of [0, 1, 2]) yield* store.remove(`/s/beat-${index}`)
      yield* Effect.scoped(Gate.restore("/s/whole"))
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host(new MemoryFiles())))
  )

  it.effect("of-a-snapshot-that-is-not-ready-or-not-whole-is-refused-and-nothing-is-published", () =>
    Effect.gen(function* () {
      const store = yield* SnapshotStore
      yield* chain()
      yield* store.remove("/s/beat-1")
      const refused = yield* Effect.flip(compactSnapshot("/s/beat-2", "/s/whole"))
      assert.strictEqual(refused._tag === "SnapshotOpenError" && refused.reason._tag, "ParentRefused")
      assert.strictEqual((yield* Effect.flip(store.open("/s/whole"))).reason._tag, "SnapshotMissing")
    }).pipe(Effect.provide(host(new MemoryFiles())))
  )

  it.effect("that-would-be-another-machine-is-not-published", () =>
    Effect.gen(function* () {
      yield* chain()
      const vmm = yield* Vmm
      // A machine restored from the compacted files is not the one that was captured.
      const lying: typeof vmm = {
        ...vmm,
        restore: (directory, restored) =>
          Effect.map(vmm.restore(directory, restored), (machine) => ({
            ...machine,
            digest: Effect.map(machine.digest, (digest) =>
              directory.includes("/.stillpoint-") ? `not ${digest}` : digest
            )
          }))
      }
      const refused = yield* Effect.flip(
        compactSnapshot("/s/beat-2", "/s/whole").pipe(Effect.provideService(Vmm, lying))
      )
      assert.strictEqual(refused._tag, "CompactionDiffers")
      const store = yield* SnapshotStore
      assert.strictEqual((yield* Effect.flip(store.open("/s/whole"))).reason._tag, "SnapshotMissing")
      yield* store.open("/s/beat-2")
    }).pipe(Effect.provide(host(new MemoryFiles())))
  )

  it.effect("in-its-own-place-is-the-delta-or-the-whole-after-a-crash-anywhere", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.nat({ max: 24 }),
          fc.array(fc.nat({ max: 10_000 }), { minLength: 1, maxLength: 12 }),
          async (at, choices) => {
            const files = new MemoryFiles()
            const digest = await Effect.runPromise(
              Effect.andThen(chain(true), digestOf("/s/beat-2")).pipe(Effect.provide(host(files), { local: true }))
            )
            files.injectFault({ atOperation: files.operations + at, code: "crash" })
            await Effect.runPromise(
              Effect.exit(compactSnapshot("/s/beat-2", "/s/beat-2", { replace: true })).pipe(
                Effect.provide(host(files), { local: true })
              )
            )
            let next = 0
            files.reboot((outcomes) => (choices[next++ % choices.length] ?? 0) % outcomes)
            await Effect.runPromise(
              Effect.gen(function* () {
                const store = yield* SnapshotStore
                assert.strictEqual(yield* digestOf("/s/beat-2"), digest)
                const { validation } = yield* store.open("/s/beat-2")
                assert.strictEqual(validation?.verdict, "passed")
                yield* store.sweep("/s")
                assert.deepStrictEqual(
                  files.paths().filter((path) => /\/beat-2\/contents-[0-9a-f]{32}$/.test(path)),
                  (yield* store.open("/s/beat-2")).layers.slice(0, 1)
                )
                yield* store.open(join("/s", "beat-2"))
              }).pipe(Effect.provide(host(files), { local: true }))
            )
          }
        ),
        { numRuns: 200 }
      )
    )
  )
})
