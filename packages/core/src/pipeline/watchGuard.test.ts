import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import * as fc from "fast-check"
import type { GuestEventKind } from "../GuestEvent.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import { Journal } from "../journal/Journal.ts"
import { listRuns, loadRun } from "../run/runStream.ts"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { kindTrigger, sampleFiring } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { EventBody, ScriptLine } from "../testing/guestScript.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import type { Trigger } from "../Trigger.ts"
import * as Pipeline from "./Pipeline.ts"

const spec = { kernelPath: "/kernel" }
const millis = 1e6

/** A guest that lives on for an hour of heartbeats, whatever its workload does. */
const guest = (...lines: ReadonlyArray<readonly [atMillis: number, event: EventBody]>): ReadonlyArray<ScriptLine> => [
  { atNanos: 200 * millis, event: { _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6.12.0" } },
  { atNanos: 300 * millis, event: { _tag: "WorkloadPreExec", argv: ["/bin/serve"], holdNanos: 100 * millis } },
  ...lines.map(([atMillis, event]) => ({ atNanos: atMillis * millis, event })),
  ...Array.from({ length: 720 }, (_, index) => ({
    atNanos: (index + 1) * 5_000 * millis,
    event: { _tag: "HeartbeatTick" as const, count: index + 1 }
  }))
]

const exited = [500, { _tag: "WorkloadExited", code: 3, signal: null }] as const

const host = (script: ReadonlyArray<ScriptLine>) =>
  Layer.provideMerge(
    Layer.mergeAll(ScriptedVmm.layer({ script }), SnapshotStore.layer, Journal.layerMemory),
    new MemoryFiles().layer
  )

const run = (policy: Trigger, options: Pipeline.WatchLimit = {}) =>
  Effect.scoped(Pipeline.run(spec, { policy, target: "/s/t", ...options }))

/** Waits for one of some kinds, or a time. */
const waitsFor = (kinds: ReadonlyArray<GuestEventKind>, atNanos: number | null): Trigger => ({
  ...kindTrigger("ListenerBound"),
  name: `on ${kinds.join(" or ")}`,
  interest: kinds,
  await: Effect.gen(function* () {
    const timeline = yield* GuestTimeline
    while (true) {
      const { events, nowNanos } = yield* timeline.advance({ kinds, atNanos })
      const event = events.find((each) => kinds.includes(each._tag))
      if (event !== undefined) return sampleFiring(event)
      if (atNanos !== null && nowNanos >= atNanos) {
        return sampleFiring({ _tag: "GuestIdle", seq: events.at(-1)?.seq ?? 0, atNanos: nowNanos })
      }
    }
  })
})

describe("waiting for a policy", () => {
  it.effect("ends-with-the-kernels-report-when-its-root-was-not-unpacked-whole", () =>
    Effect.gen(function* () {
      const text = "[    0.404358] Initramfs unpacking failed: write error"
      const script = [{ atNanos: 100 * millis, event: { _tag: "SerialLine", port: 0, text } as const }, ...guest()]
      const error = yield* Effect.flip(run(kindTrigger("WorkloadPreExec"))).pipe(Effect.provide(host(script)))
      assert(error._tag === "RootIncomplete")
      assert.strictEqual(error.report, "Initramfs unpacking failed: write error")
      assert.include(error.message, "more memory")
    })
  )

  it.effect("does-not-believe-a-workload-that-prints-the-kernels-reports", () =>
    Effect.gen(function* () {
      const said = (text: string, atMillis: number) => [atMillis, { _tag: "SerialLine", port: 0, text }] as const
      const script = guest(said("Initramfs unpacking failed: write error", 400), [
        500,
        { _tag: "ListenerBound", protocol: "tcp", address: "0.0.0.0", port: 80 }
      ])
      yield* run(kindTrigger("ListenerBound")).pipe(Effect.provide(host(script)))
    })
  )

  it.effect("ends-with-what-the-kernel-said-when-it-panicked", () =>
    Effect.gen(function* () {
      const script: ReadonlyArray<ScriptLine> = [
        { atNanos: 200 * millis, event: { _tag: "GuestPanicked", message: "VFS: Unable to mount root fs" } },
        { atNanos: 200 * millis, event: { _tag: "GuestReset", reason: 0 } }
      ]
      const error = yield* Effect.flip(run(kindTrigger("WorkloadPreExec"))).pipe(Effect.provide(host(script)))
      assert.strictEqual(error._tag, "KernelPanicked")
      assert.include(error.message, "VFS: Unable to mount root fs")
    })
  )

  it.effect("ends-when-the-workload-that-it-waits-for-has-ended", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(run(kindTrigger("ListenerBound")))
      assert.strictEqual(error._tag, "WorkloadEnded")
      assert.deepInclude(error, { code: 3, signal: null, atNanos: 500 * millis, kinds: ["ListenerBound"] })
      assert.include(error.message, "code 3")
      const [runId = ""] = yield* listRuns
      const { state } = yield* loadRun(runId)
      assert.deepInclude(state, { phase: "failed", stage: "watch" })
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host(guest(exited))))
  )

  it.effect("does-not-end-before-the-policy-has-seen-what-came-first", () =>
    Effect.gen(function* () {
      const { value } = yield* run(kindTrigger("ListenerBound"))
      assert.strictEqual(value.firing.atNanos, 450 * millis)
    }).pipe(
      Effect.provide(host(guest([450, { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 }], exited)))
    )
  )

  for (const [name, policy] of [
    ["for-what-the-kernel-or-the-agent-brings", kindTrigger("HeartbeatTick")],
    ["for-a-time", waitsFor(["ListenerBound"], 2_000 * millis)],
    ["for-either", waitsFor(["ListenerBound", "HeartbeatTick"], null)],
    ["for-the-end-itself", kindTrigger("WorkloadExited")]
  ] as const) {
    it.effect(`goes-on-after-the-workload's-end-${name}`, () =>
      Effect.gen(function* () {
        const { value } = yield* run(policy)
        assert.isAtLeast(value.firing.atNanos, 500 * millis)
      }).pipe(Effect.provide(host(guest(exited))))
    )
  }

  it.effect("goes-on-for-what-a-command-started", () =>
    Effect.gen(function* () {
      const { value } = yield* run(kindTrigger("ListenerBound"))
      assert.strictEqual(value.firing.atNanos, 900 * millis)
    }).pipe(
      Effect.provide(
        host(
          guest([400, { _tag: "ExecStarted", id: 1, pid: 101 }], exited, [
            900,
            { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 }
          ])
        )
      )
    )
  )

  it.effect("ends-at-its-limit-of-ten-minutes-of-guest-time-or-as-said", () =>
    Effect.gen(function* () {
      for (const [options, millis] of [
        [{}, 600_000],
        [{ watchLimit: "90 seconds" }, 90_000]
      ] as const) {
        const error = yield* Effect.flip(run(kindTrigger("ListenerBound"), options))
        assert.strictEqual(error._tag, "WatchLimitReached")
        assert.deepInclude(error, { limitMillis: millis, kinds: ["ListenerBound"] })
      }
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host(guest())))
  )

  it.effect("is-not-cut-short-for-a-policy-that-begins-by-waiting-for-a-later-time", () =>
    Effect.gen(function* () {
      const { value } = yield* run(waitsFor([], 1_800_000 * millis))
      assert.strictEqual(value.firing.atNanos, 1_800_000 * millis)
    }).pipe(Effect.provide(host(guest())))
  )

  it.effect("always-ends-whatever-the-policy-waits-for-and-the-guest-does", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.tuple(
              fc.nat({ max: 2_000 }),
              fc.constantFrom<EventBody>(
                { _tag: "WorkloadExited", code: 0, signal: null },
                { _tag: "WorkloadFailed", step: "exec", errno: 2, message: "no such file" },
                { _tag: "WorkloadParked" },
                { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 },
                { _tag: "ExecStarted", id: 1, pid: 2 },
                { _tag: "Custom", name: "ready", payload: null }
              )
            ),
            { maxLength: 4 }
          ),
          fc.subarray<GuestEventKind>(
            ["ListenerBound", "WorkloadParked", "WorkloadExited", "Custom", "SerialLine", "HeartbeatTick"],
            { minLength: 1 }
          ),
          async (lines, kinds) => {
            const outcome = await Effect.runPromise(
              Effect.result(run(waitsFor(kinds, null))).pipe(Effect.provide(host(guest(...lines)), { local: true }))
            )
            const allowed = ["WorkloadEnded", "WorkloadNotStarted", "WatchLimitReached"]
            if (outcome._tag === "Failure") assert.include(allowed, outcome.failure._tag)
            else assert.include(kinds, outcome.success.value.firing.trigger.slice("on ".length))
            assert.strictEqual(scriptedMachines.open, 0)
          }
        ),
        { numRuns: 200 }
      )
    )
  )

  it.effect("side-by-side-ends-for-each-policy-on-its-own", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const results = yield* Pipeline.sideBySide(spec, [
          { policy: kindTrigger("ListenerBound"), target: "/s/listener" },
          { policy: kindTrigger("HeartbeatTick"), target: "/s/beat" },
          { policy: kindTrigger("SerialLine"), target: "/s/line", watchLimit: "1 minute" }
        ])
        assert.deepStrictEqual(
          results.map((result) => (result._tag === "Success" ? "captured" : result.failure._tag)),
          ["WorkloadEnded", "captured", "WatchLimitReached"]
        )
      })
    ).pipe(Effect.provide(host(guest(exited))))
  )

  it.effect("repeated-ends-as-soon-as-nothing-can-follow-and-keeps-what-was-taken", () =>
    Effect.gen(function* () {
      const taken: Array<number> = []
      const error = yield* Pipeline.repeat(spec, {
        policy: kindTrigger("WorkloadParked", 3),
        target: (index) => `/s/${index}`
      }).pipe(
        Stream.runForEach(({ value }) => Effect.sync(() => taken.push(value.firing.atNanos))),
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(error._tag, "WorkloadEnded")
      assert.deepStrictEqual(taken, [400 * millis])
      yield* (yield* SnapshotStore).open("/s/0")
      assert.strictEqual(scriptedMachines.open, 0)
    }).pipe(Effect.provide(host(guest([400, { _tag: "WorkloadParked" }], exited))))
  )

  it.effect("repeated-has-its-limit-for-each-firing", () =>
    Effect.gen(function* () {
      const beats = { policy: kindTrigger("HeartbeatTick", 30), target: (index: number) => `/s/${index}` }
      const all = yield* Pipeline.repeat(spec, { ...beats, watchLimit: "6 seconds" }).pipe(
        Stream.runCollect,
        Effect.scoped
      )
      assert.strictEqual(all.length, 30)
      const error = yield* Pipeline.repeat(spec, { ...beats, watchLimit: "4 seconds", replace: true }).pipe(
        Stream.runCollect,
        Effect.scoped,
        Effect.flip
      )
      assert.strictEqual(error._tag, "WatchLimitReached")
    }).pipe(Effect.provide(host(guest())))
  )
})
