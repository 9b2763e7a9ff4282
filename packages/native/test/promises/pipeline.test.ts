import { readdirSync, readlinkSync, rmSync, statfsSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  explainRun,
  Gate,
  type Journal,
  listRuns,
  loadRun,
  Pipeline,
  prefetch,
  ProgressListener,
  restoreSnapshot,
  type Snapshot,
  SnapshotStore,
  type Vmm
} from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Deferred, Effect, Fiber } from "effect"
import * as fc from "fast-check"
import { loadAddon } from "../../src/binding/loadAddon.ts"
import { folder, linux } from "../guests.ts"
import { settle } from "../settle.ts"
import { layer } from "./witness.ts"

const addon = await Effect.runPromise(loadAddon)

const threads = (): number => readdirSync("/proc/self/task").length

/** Files below a directory that this process holds open. */
const openFilesBelow = (directory: string): ReadonlyArray<string> =>
  readdirSync("/proc/self/fd").flatMap((descriptor) => {
    try {
      const path = readlinkSync(join("/proc/self/fd", descriptor))
      return path.startsWith(directory) ? [path] : []
    } catch {
      // Closed since it was listed.
      return []
    }
  })

const page = { argv: ["wget", "-q", "-O", "-", "http://127.0.0.1:8080/"] }

const policy = kindTrigger("ListenerBound")

/** How many runs are cancelled at random moments. */
const cancellations = Number(process.env["STILLPOINT_GUEST_RUNS"] ?? 20)

/** Bytes of a snapshot that are stored together. */
const chunkBytes = 16_384

describe("a pipeline with machines", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("a-snapshot-is-ready-once-a-clone-of-it-has-passed-its-probe", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const target = join(yield* folder, "snapshot")
          const { runId, value } = yield* Pipeline.run(yield* linux(), {
            policy,
            target,
            validate: Pipeline.execProbe(page)
          })
          assert.strictEqual((yield* loadRun(runId)).state.phase, "ready")
          const { manifest, validation } = yield* (yield* SnapshotStore).open(target)
          assert.strictEqual(validation?.verdict, "passed")
          // Every clone has what the probe saw: the page was made before the capture.
          const { machine } = yield* Gate.restore(target)
          const { stdout } = yield* machine.exec(page)
          assert.strictEqual(new TextDecoder().decode(stdout).trim(), validation?.detail)
          const workingSet = validation?.workingSet
          const pages = workingSet?.pages ?? 0
          assert.isAbove(pages, 100)
          assert.isBelow(pages, (manifest.memoryMib * 2 ** 20) / 4096 / 4)
          assert.strictEqual(
            workingSet?.ranges.reduce((sum, range) => sum + range.pages, 0),
            pages
          )
          assert.isAbove(value.storedBytes, 1 << 20)
          const { bavail, bsize } = statfsSync(target)
          assert.isAbove(bavail * bsize, value.storedBytes)
        })
      )
    )

    it.effect("a-failing-probe-leaves-a-run-that-says-why-and-a-snapshot-that-nobody-can-take-for-ready", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const target = join(yield* folder, "snapshot")
          const known = new Set(yield* listRuns)
          const error = yield* Effect.flip(
            Pipeline.run(yield* linux(), {
              policy,
              target,
              validate: Pipeline.execProbe({ argv: ["sh", "-c", "echo the database is gone >&2; exit 3"] })
            })
          )
          assert.strictEqual(error._tag, "ValidationFailed")
          assert.include(error.message, "the database is gone")
          const runId = (yield* listRuns).find((id) => !known.has(id)) ?? ""
          const { state } = yield* loadRun(runId)
          assert.strictEqual(state.phase, "failed")
          assert.include((yield* explainRun(runId)).text, "the database is gone")
          const refused = yield* Effect.flip((yield* SnapshotStore).open(target))
          assert.strictEqual(refused.reason._tag, "SnapshotNotReady")
          const gate = yield* Effect.flip(Gate.restore(target))
          assert.strictEqual(gate.reason._tag, "SnapshotRefused")
        })
      )
    )

    it.effect("policies-side-by-side-take-what-each-takes-alone", () =>
      Effect.gen(function* () {
        const spec = yield* linux()
        const root = yield* folder
        const kinds = ["WorkloadPreExec", "ListenerBound", "AgentReady"] as const
        const alone = yield* Effect.forEach(kinds, (kind) =>
          Effect.scoped(Pipeline.run(spec, { policy: kindTrigger(kind), target: join(root, "alone", kind) }))
        )
        const together = yield* Effect.scoped(
          Pipeline.sideBySide(
            spec,
            kinds.map((kind) => ({ policy: kindTrigger(kind), target: join(root, "together", kind) }))
          )
        )
        const digestOf = (snapshot: Snapshot) =>
          Effect.scoped(Effect.flatMap(restoreSnapshot(snapshot), (machine) => machine.digest))
        for (const [index, { value }] of alone.entries()) {
          const result = together[index]
          if (result?._tag !== "Success") return assert.fail(`${kinds[index]}: ${result?.failure.message}`)
          const { snapshot } = result.success.value
          assert.strictEqual(snapshot.manifest.capture.atNanos, value.snapshot.manifest.capture.atNanos)
          assert.strictEqual(yield* digestOf(snapshot), yield* digestOf(value.snapshot))
        }
      })
    )

    it.effect("what-the-probe-touched-is-prefetched", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        const { value } = yield* Effect.scoped(
          Pipeline.run(yield* linux(), { policy, target, validate: Pipeline.execProbe(page), prefetch: true })
        )
        const pages = value.snapshot.validation?.workingSet?.pages ?? 0
        assert.isAbove(pages, 100)
        const again = yield* prefetch(value.snapshot)
        assert.strictEqual(again.pages, pages)
        // Whole chunks of four pages, each once; pages of one repeated byte are not stored.
        assert.strictEqual(again.bytes % chunkBytes, 0)
        assert.isAtLeast(again.bytes, pages * 2048)
        assert.isAtMost(again.bytes, pages * chunkBytes)
      })
    )

    it.effect(
      "cancelled-at-any-point-no-machine-thread-or-file-is-left-and-no-doubt",
      () =>
        Effect.gen(function* () {
          const spec = yield* linux()
          const directory = yield* folder
          const target = join(directory, "snapshot")
          const options = {
            policy,
            target,
            warmUp: [page],
            validate: Pipeline.execProbe(page),
            prefetch: true
          } satisfies Pipeline.CaptureOptions
          // Once through, so that what the process allocates once is there.
          const first = yield* Effect.scoped(Pipeline.run(spec, { ...options, target: join(yield* folder, "first") }))
          // The files of the latest restore stay open for the next one, if they are old enough to be distinguished from
          // changed ones.
          const forgetLatestRestore = Effect.scoped(restoreSnapshot(first.value.snapshot))
          yield* settle(() => addon.guestMemoryBytes() === 0 && addon.workerThreads() === 0)
          const memoryBefore = addon.guestMemoryBytes()
          const threadsBefore = threads() - addon.workerThreads()
          const context = yield* Effect.context<Vmm | SnapshotStore | Journal>()
          const phases = new Map<string, number>()

          /** Interrupts a run some turns of the event loop after one of its stages began. */
          const cancelled = Effect.fn("cancelled")(function* (stage: string, turns: number) {
            const known = new Set(yield* listRuns)
            const reached = yield* Deferred.make<void>()
            const fiber = yield* Effect.forkChild(
              Effect.scoped(Pipeline.run(spec, options)).pipe(
                Effect.provideService(ProgressListener, (progress) =>
                  progress.stage === stage && progress.status === "started"
                    ? Effect.asVoid(Deferred.succeed(reached, undefined))
                    : Effect.void
                )
              ),
              { startImmediately: true }
            )
            yield* Deferred.await(reached)
            for (let turn = 0; turn < turns; turn++) yield* Effect.promise(() => new Promise((go) => setImmediate(go)))
            yield* Fiber.interrupt(fiber)
            const runId = (yield* listRuns).find((id) => !known.has(id)) ?? ""
            const { phase } = (yield* loadRun(runId)).state
            // A thread is gone for the system a moment after it has left our count.
            yield* settle(
              () =>
                addon.guestMemoryBytes() <= memoryBefore && addon.workerThreads() === 0 && threads() <= threadsBefore
            )
            assert.isAtMost(addon.guestMemoryBytes(), memoryBefore, stage)
            assert.strictEqual(addon.workerThreads(), 0, stage)
            assert.isAtMost(threads(), threadsBefore, stage)
            yield* forgetLatestRestore
            assert.deepStrictEqual(openFilesBelow(directory), [], stage)
            const opened = yield* Effect.result((yield* SnapshotStore).open(target))
            assert.include(["ready", "abandoned"], phase)
            assert.strictEqual(opened._tag === "Success", phase === "ready", stage)
            assert.deepStrictEqual(
              readdirSync(directory).filter((name) => name !== "snapshot"),
              [],
              stage
            )
            rmSync(target, { recursive: true, force: true })
            const point = `${stage}: ${phase}`
            phases.set(point, (phases.get(point) ?? 0) + 1)
          })

          const stages = ["boot", "watch", "warm up", "freeze", "capture", "publish", "validate", "prefetch"]
          yield* Effect.promise(() =>
            fc.assert(
              fc.asyncProperty(
                fc.constantFrom(...stages),
                // Most stages are over after some turns, the boot after many.
                fc.oneof(fc.nat({ max: 8 }), fc.nat({ max: 60 }), fc.nat({ max: 600 })),
                (stage, turns) => Effect.runPromiseWith(context)(Effect.scoped(cancelled(stage, turns)))
              ),
              { numRuns: cancellations, endOnFailure: true }
            )
          )
          yield* Effect.logInfo([...phases].map(([point, times]) => `${point} ${times}`).join(", "))
        }),
      600_000 + cancellations * 60_000
    )
  })
})
