import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Metric, Schedule, Stream, Tracer } from "effect"
import * as Gate from "../gate/Gate.ts"
import type { TriggerSignal } from "../Firing.ts"
import { TriggerSignals } from "../GuestTimeline.ts"
import { readSignals } from "../journal/signalStream.ts"
import type { Trigger } from "../Trigger.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { readGuest } from "../journal/guestStream.ts"
import { Journal } from "../journal/Journal.ts"
import { listRuns, loadRun, readRun } from "../run/runStream.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { scriptedPages } from "../testing/scriptedMemory.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { factsOf, factsOfReadyRun } from "../testing/toldFacts.ts"
import * as Pipeline from "./Pipeline.ts"
import { ProgressListener } from "./Progress.ts"
import * as Stage from "./Stage.ts"
import { runsEnded } from "./stageMetrics.ts"
import { adopt, boot } from "./stages/boot.ts"
import { awaitPolicy } from "./stages/awaitPolicy.ts"
import { keepInMemory } from "./stages/capture.ts"
import { freeze } from "./stages/freeze.ts"

const spec = { kernelPath: "/kernel" }

const host = (options: ScriptedVmmOptions = {}, files = new MemoryFiles()) =>
  Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer, Journal.layerMemory), files.layer)

const stateOf = (runId: string) => Effect.map(loadRun(runId), ({ state }) => state)
const tagsOf = (runId: string) => Effect.map(readRun(runId), (events) => events.map(({ event }) => event._tag))
const onlyRun = Effect.map(listRuns, ([runId]) => runId ?? "")

describe("a pipeline", () => {
  it.effect("captures-where-its-policy-fires-and-publishes", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { runId, value } = yield* Pipeline.run(spec, {
          policy: kindTrigger("WorkloadPreExec"),
          target: "/s/pre-exec"
        })
        assert.strictEqual(value.firing.cause._tag === "Event" && value.firing.cause.event._tag, "WorkloadPreExec")
        assert.strictEqual(value.snapshot.manifest.capture.atNanos, 300_000_000)
        assert.isFalse(value.snapshot.manifest.capture.isWorkloadFrozen)
        assert.strictEqual(value.snapshot.manifest.runId, runId)
        assert.strictEqual((yield* stateOf(runId)).phase, "ready")
        assert.deepStrictEqual(yield* (yield* SnapshotStore).open("/s/pre-exec"), value.snapshot)
        const events = (yield* readRun(runId)).map(({ event }) => event)
        assert.deepStrictEqual(factsOf(events), factsOfReadyRun)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("freezes-a-workload-that-has-started", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { value } = yield* Pipeline.run(spec, { policy: kindTrigger("ListenerBound"), target: "/s/listener" })
        assert.isTrue(value.snapshot.manifest.capture.isWorkloadFrozen)
        const clone = yield* Gate.restore("/s/listener")
        assert.include(
          (yield* clone.machine.eventsSoFar()).map((event) => event._tag),
          "AgentThawed"
        )
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("does-not-capture-a-workload-that-cannot-be-frozen", () =>
    Effect.gen(function* () {
      const files = yield* Effect.scoped(
        Effect.flip(Pipeline.run(spec, { policy: kindTrigger("ListenerBound"), target: "/s/listener" }))
      )
      assert.strictEqual(files._tag, "FreezeFailed")
      const state = yield* stateOf(yield* onlyRun)
      assert.strictEqual(state.phase === "failed" && state.stage, "freeze")
      assert.strictEqual(
        (yield* Effect.flip((yield* SnapshotStore).open("/s/listener"))).reason._tag,
        "SnapshotMissing"
      )
    }).pipe(Effect.provide(host({ freezeNanos: null })))
  )

  it.effect("is-ready-only-after-a-clone-passed-its-probe", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { runId, value } = yield* Pipeline.run(spec, {
          policy: kindTrigger("WorkloadPreExec"),
          target: "/s/ok",
          validate: Pipeline.execProbe({ argv: ["echo", "alive"] })
        })
        assert.strictEqual(value.snapshot.validation?.verdict, "passed")
        assert.deepStrictEqual(value.snapshot.validation?.workingSet, {
          pages: 3,
          ranges: [
            { address: scriptedPages[0], pages: 2 },
            { address: scriptedPages[2], pages: 1 }
          ]
        })
        assert.strictEqual((yield* stateOf(runId)).phase, "ready")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("leaves-a-snapshot-that-failed-its-probe-where-nobody-takes-it-for-ready", () =>
    Effect.gen(function* () {
      const error = yield* Effect.scoped(
        Effect.flip(
          Pipeline.run(spec, {
            policy: kindTrigger("WorkloadPreExec"),
            target: "/s/bad",
            validate: Pipeline.execProbe({ argv: ["false"] })
          })
        )
      )
      assert.strictEqual(error._tag, "ValidationFailed")
      assert.strictEqual((yield* Effect.flip((yield* SnapshotStore).open("/s/bad"))).reason._tag, "SnapshotNotReady")
      const state = yield* stateOf(yield* onlyRun)
      assert.strictEqual(state.phase, "failed")
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host()))
  )

  it.effect("warms-up-in-the-guest-before-the-capture", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { value } = yield* Pipeline.run(spec, {
          policy: kindTrigger("ListenerBound"),
          target: "/s/warm",
          warmUp: [{ argv: ["echo", "warm"] }]
        })
        assert.isTrue(value.snapshot.manifest.capture.isWorkloadFrozen)
        const failed = yield* Effect.flip(
          Pipeline.run(spec, {
            policy: kindTrigger("ListenerBound"),
            target: "/s/cold",
            warmUp: [{ argv: ["false"] }]
          })
        )
        assert.strictEqual(failed._tag, "WarmUpFailed")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("is-failed-by-a-boot-that-fails", () =>
    Effect.gen(function* () {
      const error = yield* Effect.scoped(
        Effect.flip(Pipeline.run({ kernelPath: "/missing" }, { policy: kindTrigger("AgentReady"), target: "/s/x" }))
      )
      assert.strictEqual(error._tag, "BootError")
      const state = yield* stateOf(yield* onlyRun)
      assert.deepInclude(state, { phase: "failed", stage: "boot" })
    }).pipe(Effect.provide(host()))
  )

  it.effect("leaves-nothing-behind-when-cancelled-at-any-stage", () =>
    Effect.gen(function* () {
      for (const stage of ["boot", "watch", "freeze", "capture", "publish", "validate"]) {
        const files = new MemoryFiles()
        yield* Effect.gen(function* () {
          const fiber: { current: Fiber.Fiber<unknown, unknown> | null } = { current: null }
          const reached = Effect.scoped(
            Pipeline.run(spec, {
              policy: kindTrigger("ListenerBound"),
              target: "/s/t",
              validate: Pipeline.execProbe({ argv: ["echo", "alive"] })
            })
          ).pipe(
            Effect.provideService(ProgressListener, (progress) =>
              progress.stage === stage && progress.status === "started"
                ? Effect.sync(() => fiber.current?.interruptUnsafe())
                : Effect.void
            )
          )
          const forked = yield* Effect.forkChild(reached)
          fiber.current = forked
          yield* Fiber.await(forked)
          const state = yield* stateOf(yield* onlyRun)
          assert.deepStrictEqual([stage, state.phase], [stage, "abandoned"])
          assert.deepStrictEqual(
            files.paths().filter((path) => path.includes(".staging-")),
            []
          )
          assert.strictEqual(scriptedMachines.open, 0)
          const opened = yield* Effect.result((yield* SnapshotStore).open("/s/t"))
          assert.strictEqual(opened._tag, "Failure")
        }).pipe(Effect.provide(host({}, files), { local: true }))
      }
    })
  )

  it.effect("watches-one-boot-with-several-policies-side-by-side", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const results = yield* Pipeline.sideBySide(spec, [
          { policy: kindTrigger("ListenerBound"), target: "/s/listener" },
          { policy: kindTrigger("WorkloadPreExec"), target: "/s/pre-exec" },
          { policy: kindTrigger("WorkloadParked"), target: "/s/never" }
        ])
        assert.deepStrictEqual(
          results.map((result) => result._tag),
          ["Success", "Success", "Failure"]
        )
        const at = (path: string) =>
          Effect.map(
            Effect.flatMap(SnapshotStore, (store) => store.open(path)),
            ({ manifest }) => manifest.capture.atNanos
          )
        assert.strictEqual(yield* at("/s/pre-exec"), 300_000_000)
        // One millisecond for the agent to freeze the workload, in a fork: no other clock advanced.
        assert.strictEqual(yield* at("/s/listener"), 451_000_000)
        assert.strictEqual((yield* listRuns).length, 3)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("keeps-in-the-journal-what-the-guest-did", () =>
    Effect.gen(function* () {
      const seen: Array<GuestEvent> = []
      yield* Effect.scoped(
        Pipeline.run(spec, {
          policy: kindTrigger("ListenerBound"),
          target: "/s/recorded",
          observe: (machine) => Effect.sync(() => void machine.events$.subscribe((event) => seen.push(event)))
        })
      )
      const [stream] = yield* (yield* Journal).streams("guest/")
      assert.deepStrictEqual(yield* readGuest(stream ?? ""), seen)
      assert.include(
        seen.map(({ _tag }) => _tag),
        "AgentFrozen"
      )
    }).pipe(Effect.provide(host()))
  )

  it.effect("keeps-in-the-journal-what-its-policy-took-in-from-outside", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const signal: TriggerSignal = {
          probe: "ready/http",
          arming: 1,
          atNanos: 7,
          afterSeq: 0,
          outcome: "succeeded",
          payload: { status: 200 }
        }
        const inner = kindTrigger("AgentReady")
        const policy: Trigger = {
          ...inner,
          await: Effect.andThen(
            Effect.flatMap(TriggerSignals, ({ record }) => record(signal)),
            inner.await
          )
        }
        const { runId } = yield* Pipeline.run(spec, { policy, target: "/s/signals" })
        assert.deepStrictEqual(yield* readSignals(runId), [signal])
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("is-traced-and-measured", () =>
    Effect.gen(function* () {
      const spans: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          spans.push(options.name)
          return new Tracer.NativeSpan(options)
        }
      })
      const outcome = Metric.withAttributes(runsEnded, { outcome: "ready" })
      const before = yield* Metric.value(outcome)
      yield* Effect.scoped(Pipeline.run(spec, { policy: kindTrigger("AgentReady"), target: "/s/traced" })).pipe(
        Effect.withTracer(tracer)
      )
      for (const name of ["run", "stage boot", "stage watch", "stage freeze", "stage capture", "stage publish"]) {
        assert.include(spans, name)
      }
      assert.strictEqual((yield* Metric.value(outcome)).count, before.count + 1)
    }).pipe(Effect.provide(host()))
  )

  it.effect("repeats-for-a-policy-that-repeats", () =>
    Effect.gen(function* () {
      const taken = yield* Pipeline.repeat(spec, {
        policy: kindTrigger("HeartbeatTick", 2),
        target: (index) => `/s/beat-${index}`
      }).pipe(Stream.runCollect, Effect.scoped)
      assert.deepStrictEqual(
        taken.map(({ value }) => value.snapshot.manifest.capture.atNanos),
        [250_000_000, 350_000_000]
      )
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host()))
  )

  it.effect("keeps-a-snapshot-in-memory-without-a-target", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const policy = kindTrigger("WorkloadPreExec")
        const { runId, value } = yield* Pipeline.runStages(
          { name: "in memory", spec, policy, target: null, isValidated: false },
          boot().pipe(Stage.andThen(awaitPolicy(policy)), Stage.andThen(freeze()), Stage.andThen(keepInMemory)),
          spec
        )
        assert.strictEqual((yield* stateOf(runId)).phase, "ready")
        const clone = yield* Effect.flatMap(value.snapshot.fork, (fork) => Gate.admit(fork, value.isWorkloadFrozen))
        assert.match(clone.identity.machineId ?? "", /^[0-9a-f]{32}$/)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-stage-is-tried-again-as-its-schedule-says-and-the-tries-are-recorded", () =>
    Effect.scoped(
      Effect.gen(function* () {
        let tries = 0
        const flaky = Stage.make(
          "flaky",
          () =>
            Effect.suspend(() => {
              tries += 1
              return tries < 3 ? Effect.fail(new Error(`try ${tries}`)) : Effect.succeed(tries)
            }),
          { retry: Schedule.recurs(5) }
        )
        const policy = kindTrigger("AgentReady")
        const { runId, value } = yield* Pipeline.runStages(
          { name: "flaky", spec, policy, target: null, isValidated: false },
          flaky,
          undefined
        )
        assert.strictEqual(value, 3)
        assert.strictEqual((yield* tagsOf(runId)).filter((tag) => tag === "StageRetried").length, 2)
        // It published nothing, so the run says so.
        const state = yield* stateOf(runId)
        assert.strictEqual(state.phase === "failed" && state.error.tag, "Unfinished")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-run-that-adopts-a-machine-does-not-boot-one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(adopt.names, ["boot"])
      assert.strictEqual(scriptedMachines.open, 0)
    })
  )
})
