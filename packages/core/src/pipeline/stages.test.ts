import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, pipe, Schedule } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { Journal } from "../journal/Journal.ts"
import { listRuns, loadRun, readRun } from "../run/runStream.ts"
import { isEnded } from "../run/RunState.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import * as Pipeline from "./Pipeline.ts"
import { type Progress, ProgressListener } from "./Progress.ts"
import * as Stage from "./Stage.ts"

const spec = { kernelPath: "/kernel" }
const policy = kindTrigger("ListenerBound")
const alive = Pipeline.execProbe({ argv: ["echo", "alive"] })

const host = (options: ScriptedVmmOptions = {}, files = new MemoryFiles()) =>
  Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer, Journal.layerMemory), files.layer)

const onlyRun = Effect.map(listRuns, ([runId]) => runId ?? "")
const openRefusal = (target: string) =>
  Effect.flatMap(SnapshotStore, (store) => Effect.map(Effect.flip(store.open(target)), ({ reason }) => reason._tag))

describe("a stage", () => {
  it.effect("of-one's-own-takes-and-gives-what-its-type-says", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const count = Stage.make("count events", ({ firing, machine, ...fired }: Pipeline.Fired) =>
          Effect.map(machine.eventsSoFar(), (events) => ({ ...fired, firing, machine, seen: events.length }))
        )
        const sealed = Stage.make("seal", ({ seen, snapshot }: { readonly seen: number } & Pipeline.Published) =>
          Effect.succeed(`${snapshot.directory} after ${seen} events`)
        )
        const stages = pipe(
          Pipeline.boot(),
          Stage.andThen(Pipeline.awaitPolicy(policy)),
          Stage.andThen(count),
          Stage.andThen(
            Stage.make("keep the count", (counted: Pipeline.Fired & { readonly seen: number }) =>
              pipe(Pipeline.freeze(), Stage.andThen(Pipeline.capture("/s/t")), Stage.andThen(Pipeline.publish()))
                .run(counted)
                .pipe(Effect.map((published) => ({ ...published, seen: counted.seen })))
            )
          ),
          Stage.andThen(sealed)
        )
        const { value } = yield* Pipeline.runStages(
          { name: "counted", spec, policy, target: "/s/t", isValidated: false },
          stages,
          spec
        )
        assert.strictEqual(value, "/s/t after 8 events")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("that-follows-a-ready-snapshot-is-reported-and-the-run-stays-ready-whatever-becomes-of-it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const told: Array<Progress> = []
        const stages = pipe(
          Pipeline.boot(),
          Stage.andThen(Pipeline.awaitPolicy(policy)),
          Stage.andThen(Pipeline.freeze()),
          Stage.andThen(Pipeline.capture("/s/t")),
          Stage.andThen(Pipeline.publish()),
          Stage.andThen(Pipeline.pool({ ready: 2 })),
          Stage.andThen(Stage.tap("hand over", () => Effect.fail(new Error("nobody there"))))
        )
        const error = yield* Pipeline.runStages(
          { name: "pooled", spec, policy, target: "/s/t", isValidated: false },
          stages,
          spec
        ).pipe(
          Effect.provideService(ProgressListener, (progress) => Effect.sync(() => told.push(progress))),
          Effect.flip
        )
        assert.strictEqual(error.message, "nobody there")
        assert.strictEqual((yield* loadRun(yield* onlyRun)).state.phase, "ready")
        assert.deepStrictEqual(
          told.slice(-4).map(({ stage, status }) => `${stage} ${status}`),
          ["pool started", "pool finished", "hand over started", "hand over failed"]
        )
        yield* (yield* SnapshotStore).open("/s/t")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("that-keeps-a-pool-gives-clones-until-the-pipeline's-scope-closes", () =>
    Effect.gen(function* () {
      const taken = yield* Effect.scoped(
        Effect.gen(function* () {
          const stages = pipe(
            Pipeline.boot(),
            Stage.andThen(Pipeline.awaitPolicy(policy)),
            Stage.andThen(Pipeline.freeze()),
            Stage.andThen(Pipeline.capture("/s/t")),
            Stage.andThen(Pipeline.publish({ validation: "required" })),
            Stage.andThen(Pipeline.validate(alive)),
            Stage.andThen(Pipeline.pool({ ready: 2 }))
          )
          const { value } = yield* Pipeline.runStages(
            { name: "pooled", spec, policy, target: "/s/t", isValidated: true },
            stages,
            spec
          )
          const ids = yield* Effect.forEach([1, 2, 3], () =>
            Effect.scoped(Effect.map(value.pool.acquire, ({ identity }) => identity.machineId))
          )
          return new Set(ids).size
        })
      )
      assert.strictEqual(taken, 3)
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host()))
  )

  it.effect("is-tried-again-and-a-publish-begins-anew", () => {
    const files = new MemoryFiles()
    return Effect.gen(function* () {
      for (const operation of [0, 1, 2, 3, 4, 5, 6, 7, 8]) {
        const target = `/s/${operation}`
        const { value } = yield* Effect.scoped(
          Pipeline.run(spec, { policy, target, tuning: { publish: { retry: Schedule.recurs(1) } } })
        ).pipe(
          Effect.provideService(ProgressListener, ({ attempt, stage, status }) =>
            Effect.sync(() => {
              if (stage === "publish" && status === "started" && attempt === 1)
                files.injectFault({ atOperation: files.operations + operation, code: "ENOSPC" })
            })
          )
        )
        assert.deepStrictEqual(yield* (yield* SnapshotStore).open(target), value.snapshot)
      }
      const retried = yield* Effect.forEach(yield* listRuns, (runId) =>
        Effect.map(readRun(runId), (events) => events.some(({ event }) => event._tag === "StageRetried"))
      )
      assert.deepStrictEqual(new Set(retried), new Set([true]))
    }).pipe(Effect.provide(host({}, files)))
  })

  it.effect("that-validates-is-tried-again-and-only-the-last-failure-counts", () =>
    Effect.gen(function* () {
      for (const [failures, expected] of [
        [2, "ready"],
        [3, "failed"]
      ] as const) {
        let tries = 0
        const target = `/s/${expected}`
        const outcome = yield* Effect.result(
          Effect.scoped(
            Pipeline.run(spec, {
              policy,
              target,
              validate: () =>
                Effect.suspend(() =>
                  tries++ < failures ? Effect.fail(new Error(`try ${tries}`)) : Effect.succeed("ok")
                ),
              tuning: { validate: { retry: Schedule.recurs(2) } }
            })
          )
        )
        assert.strictEqual(outcome._tag === "Success", expected === "ready")
        const opened = yield* Effect.result((yield* SnapshotStore).open(target))
        assert.strictEqual(opened._tag === "Success", expected === "ready")
        const last = (yield* listRuns).at(-1) ?? ""
        assert.strictEqual((yield* loadRun(last)).state.phase, expected)
        const verdicts = (yield* readRun(last)).filter(({ event }) => event._tag.startsWith("Validation"))
        assert.strictEqual(verdicts.length, 1)
      }
    }).pipe(Effect.provide(host()))
  )

  it.effect("that-takes-too-long-is-ended-by-name-and-its-snapshot-is-not-ready", () =>
    Effect.gen(function* () {
      const running = yield* Effect.forkChild(
        Effect.flip(
          Effect.scoped(
            Pipeline.run(spec, {
              policy,
              target: "/s/t",
              validate: () => Effect.never,
              tuning: { validate: { timeout: "3 seconds" } }
            })
          )
        ),
        { startImmediately: true }
      )
      yield* Effect.repeat(Effect.yieldNow, { times: 2_000 })
      yield* TestClock.adjust("3 seconds")
      const error = yield* Fiber.join(running)
      assert.strictEqual(error._tag, "StageTimedOut")
      assert.deepInclude(error, { stage: "validate", limitMillis: 3_000 })
      const { state } = yield* loadRun(yield* onlyRun)
      assert.strictEqual(state.phase === "failed" && state.stage, "validate")
      assert.include(state.phase === "failed" ? state.error.message : "", "3000 ms")
      assert.strictEqual(yield* openRefusal("/s/t"), "SnapshotNotReady")
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host()))
  )

  it.effect("that-is-cancelled-anywhere-leaves-an-ended-run-no-machine-no-file-and-no-doubt", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.nat({ max: 400 }), fc.boolean(), async (turns, isValidated) => {
          const files = new MemoryFiles()
          const program = Effect.gen(function* () {
            const fiber = yield* Effect.forkChild(
              Effect.scoped(
                Pipeline.run(spec, {
                  policy,
                  target: "/s/t",
                  warmUp: [{ argv: ["echo", "warm"] }],
                  ...(isValidated ? { validate: alive } : {})
                })
              ),
              { startImmediately: true }
            )
            yield* Effect.repeat(Effect.yieldNow, { times: turns })
            yield* Fiber.interrupt(fiber)
            assert.strictEqual(scriptedMachines.open, 0)
            assert.deepStrictEqual(
              files.paths().filter((path) => /\.(staging|replaced)-/.test(path)),
              []
            )
            const opened = yield* Effect.result((yield* SnapshotStore).open("/s/t"))
            const runs = yield* listRuns
            if (runs.length === 0) return "not-started"
            const { state } = yield* loadRun(runs[0] ?? "")
            assert.isTrue(isEnded(state), state.phase)
            assert.strictEqual(opened._tag === "Success", state.phase === "ready", state.phase)
            return state.phase
          })
          const phase = await Effect.runPromise(program.pipe(Effect.provide(host({}, files), { local: true })))
          fc.pre(phase !== "not-started")
        }),
        { numRuns: 300 }
      )
    )
  )
})
