import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { Firing, type QuiesceReport } from "../Firing.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import { Journal } from "../journal/Journal.ts"
import { listRuns } from "../run/runStream.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import type { Trigger } from "../Trigger.ts"
import * as Pipeline from "./Pipeline.ts"

const spec = { kernelPath: "/kernel" }

const host = (options: ScriptedVmmOptions = {}) =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

/** Fires at a kind of event, and asks the agent to freeze the workload before it does. */
const freezing = (kind: Parameters<typeof kindTrigger>[0]): Trigger => {
  const plain = kindTrigger(kind)
  return {
    ...plain,
    await: Effect.gen(function* () {
      const timeline = yield* GuestTimeline
      const firing = yield* plain.await
      yield* timeline.requestFreeze
      // Events since then come first.
      let { events, nowNanos } = yield* timeline.advance({ kinds: ["AgentFrozen"], atNanos: null })
      while (!events.some((event) => event._tag === "AgentFrozen")) {
        ;({ events, nowNanos } = yield* timeline.advance({ kinds: ["AgentFrozen"], atNanos: null }))
      }
      const quiesce: QuiesceReport = {
        verdict: "settled",
        triggeredAtNanos: firing.atNanos,
        calmForNanos: 0,
        calmNanos: 0,
        waitedNanos: nowNanos - firing.atNanos,
        deadlineNanos: null,
        onDeadline: "fail",
        restarts: 0,
        lastActivity: null,
        agent: "frozen"
      }
      return new Firing({ ...firing, atNanos: nowNanos, quiesce })
    })
  }
}

const fetch = { argv: ["wget"], timeoutNanos: 1e9 }

describe("a workload that its policy froze", () => {
  it.effect("is-thawed-for-the-warm-up-and-frozen-again-for-the-capture", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kinds: Array<string> = []
        const { value } = yield* Pipeline.run(spec, {
          policy: freezing("ListenerBound"),
          target: "/s/warm",
          warmUp: [fetch],
          validate: Pipeline.execProbe(fetch),
          observe: (machine) => Effect.sync(() => void machine.events$.subscribe((event) => kinds.push(event._tag)))
        })
        assert.isTrue(value.snapshot.manifest.capture.isWorkloadFrozen)
        assert.deepStrictEqual(
          kinds.filter((kind) => ["AgentFrozen", "AgentThawed", "ExecExited"].includes(kind)),
          ["AgentFrozen", "AgentThawed", "ExecExited", "AgentFrozen"]
        )
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("is-not-asked-twice-where-nothing-talks-to-it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const kinds: Array<string> = []
        yield* Pipeline.run(spec, {
          policy: freezing("ListenerBound"),
          target: "/s/cold",
          observe: (machine) => Effect.sync(() => void machine.events$.subscribe((event) => kinds.push(event._tag)))
        })
        assert.strictEqual(kinds.filter((kind) => kind === "AgentFrozen").length, 1)
        assert.notInclude(kinds, "AgentThawed")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("goes-on-after-the-capture-where-others-still-watch-it", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [first, second] = yield* Pipeline.sideBySide(spec, [
          { policy: freezing("ListenerBound"), target: "/s/one" },
          // Half a second of the workload's own later, frozen or not.
          { policy: kindTrigger("SerialLine", 2), target: "/s/two" }
        ])
        assert.strictEqual(first?._tag, "Success")
        assert.strictEqual(second?._tag, "Success")
      })
    ).pipe(Effect.provide(host()))
  )
})

describe("a decision before the workload", () => {
  it.effect("is-refused-by-name-where-the-workload-may-run-by-then", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const policy = kindTrigger("WorkloadPreExec")
        const late: Trigger = {
          ...policy,
          await: Effect.tap(policy.await, () =>
            Effect.flatMap(GuestTimeline, (timeline) => timeline.advance({ kinds: [], atNanos: 500e6 }))
          )
        }
        const error = yield* Effect.flip(Pipeline.run(spec, { policy: late, target: "/s/late" }))
        assert.strictEqual(error._tag, "PreExecMissed")
        assert.strictEqual(error._tag === "PreExecMissed" && error.holdNanos, 100e6)
        assert.include(error.message, "hold")
        const warm = yield* Effect.flip(
          Pipeline.run(spec, { policy, target: "/s/warm", warmUp: [{ argv: ["sleep", "1"] }] })
        )
        assert.strictEqual(warm._tag, "PreExecMissed")
        // For any reported cause: a line of the console, or a mapped one.
        const retold: Trigger = {
          ...late,
          await: Effect.map(
            late.await,
            (firing) =>
              new Firing({
                ...firing,
                path: ["mapCause", "onPreExec"],
                cause: { _tag: "Timer", atNanos: firing.atNanos, setAtNanos: 0 }
              })
          )
        }
        const otherwise = yield* Effect.flip(Pipeline.run(spec, { policy: retold, target: "/s/retold" }))
        assert.strictEqual(otherwise._tag, "PreExecMissed")
      })
    ).pipe(Effect.provide(host()))
  )
})

describe("what a pipeline is asked for", () => {
  it.effect("is-refused-before-anything-is-booted-with-all-its-problems", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const policy = kindTrigger("ListenerBound")
        yield* Effect.scoped(Pipeline.run(spec, { policy, target: "/s/taken" }))
        const before = scriptedMachines.open
        let booted = 0
        const error = yield* Effect.flip(
          Pipeline.run(spec, {
            policy,
            target: "/s/taken",
            watchLimit: Number.NaN,
            tuning: { ["wach" as "watch"]: { timeout: "1 second" }, capture: { timeout: -5 } },
            observe: () => Effect.sync(() => void booted++),
            ...({ bogus: 1, prefetch: "yes", freeze: { deadline: "-1 seconds", whn: "always" } } as object)
          })
        )
        assert.strictEqual(error._tag, "PipelineRefused")
        const problems = error._tag === "PipelineRefused" ? error.problems : []
        for (const word of [
          "freeze.deadline",
          "watchLimit",
          '"wach"',
          "capture.timeout",
          "options.bogus",
          "prefetch",
          "/s/taken exists",
          "freeze.whn"
        ]) {
          assert.isTrue(
            problems.some((problem) => problem.includes(word)),
            `${word} in ${problems.join("; ")}`
          )
        }
        assert.strictEqual(booted, 0)
        assert.strictEqual(scriptedMachines.open, before)
        // Nothing of it is in the journal: it did not begin.
        assert.strictEqual((yield* listRuns).length, 1)
        yield* Effect.scoped(Pipeline.run(spec, { policy, target: "/s/taken", replace: true }))
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("is-refused-before-the-boot-where-nothing-can-be-published", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const policy = kindTrigger("ListenerBound")
        const files = yield* DurableFiles
        yield* files.makeDirectory("/home")
        yield* files.write("/home/letter", new Uint8Array(1))
        let booted = 0
        const observe = () => Effect.sync(() => void booted++)
        for (const target of ["/home", "/home/letter", "/home/letter/in/it"]) {
          const asked = { policy, replace: true, observe }
          for (const refused of [
            Pipeline.run(spec, { ...asked, target }),
            Pipeline.sideBySide(spec, [{ ...asked, target }], { observe }),
            Stream.runDrain(Pipeline.repeat(spec, { ...asked, target: () => target }))
          ]) {
            const error = yield* Effect.flip(refused)
            assert.strictEqual(error._tag, "PipelineRefused")
            assert.match(error.message, /target: .*\/home/)
          }
        }
        assert.strictEqual(booted, 0)
        assert.deepStrictEqual(yield* files.list("/home"), ["letter"])
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("side-by-side-needs-targets-of-its-own", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const policy = kindTrigger("ListenerBound")
        const one = { policy, target: "/s/same" }
        const error = yield* Effect.flip(Pipeline.sideBySide(spec, [one, { ...one, target: "/s/./same" }]))
        assert.strictEqual(error._tag, "PipelineRefused")
        const none = yield* Effect.flip(Pipeline.sideBySide(spec, []))
        assert.match(none.message, /captures: expected the options of at least one capture, found none/)
      })
    ).pipe(Effect.provide(host()))
  )
})
