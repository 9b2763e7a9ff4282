import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Clock, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { IdentityManners, ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { scriptedMachines, ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { sampleDraft } from "../testing/sampleSnapshots.ts"
import { Vmm } from "../Vmm.ts"
import * as Gate from "./Gate.ts"
import { gateLoaded, type GateInput, type GateState, stepGate } from "./GateState.ts"

const host = (options: ScriptedVmmOptions = {}, files = new MemoryFiles()) => {
  return Layer.provideMerge(Layer.mergeAll(ScriptedVmm.layer(options), SnapshotStore.layer), files.layer)
}

/** Boots to some time after an event, freezes if asked, and publishes. */
const publishAt = (kind: "WorkloadPreExec" | "ListenerBound", laterNanos: number, hasAgent = true) =>
  Effect.scoped(
    Effect.gen(function* () {
      const machine = yield* (yield* Vmm).boot({ kernelPath: "/kernel" })
      const isWorkloadFrozen = kind === "ListenerBound"
      yield* machine.run({ kinds: [kind] })
      if (laterNanos > 0) yield* machine.run({ budgetNanos: laterNanos })
      if (isWorkloadFrozen) {
        yield* machine.agent.requestFreeze
        yield* machine.run({ kinds: ["AgentFrozen"] })
      }
      const store = yield* SnapshotStore
      const staging = yield* store.stage(join("/snapshots", kind))
      const captured = yield* machine.capture(staging.directory)
      const draft = sampleDraft("run")
      return yield* store.publish(staging, {
        draft: { ...draft, capture: { ...draft.capture, atNanos: captured.atNanos, isWorkloadFrozen, hasAgent } },
        captured,
        timeline: new Uint8Array(0)
      })
    })
  )

const captureAt = (kind: "WorkloadPreExec" | "ListenerBound", hasAgent = true) => publishAt(kind, 0, hasAgent)

const stdoutOf = (clone: Gate.Clone, ...argv: ReadonlyArray<string>) =>
  Effect.map(clone.machine.exec({ argv }), ({ stdout }) => new TextDecoder().decode(stdout).trim())

describe("the gate", () => {
  it.effect("a-clone-is-handed-over-after-its-guest-acknowledged", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const states: Array<GateState["_tag"]> = []
        const clone = yield* Gate.restore(directory, {
          onState: (state) => Effect.sync(() => states.push(state._tag)),
          identity: { hostname: "web-1", env: { ZONE: "a" } }
        })
        assert.deepStrictEqual(states, ["Loaded", "Verified", "IdentityApplied", "Acknowledged", "Ready"])
        assert.strictEqual(yield* stdoutOf(clone, "hostname"), "web-1")
        assert.strictEqual(yield* stdoutOf(clone, "cat", "/etc/machine-id"), clone.identity.machineId)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-gate-that-cannot-be-is-refused-with-every-problem", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const options = { guestTimeout: "-1 seconds", clockTolerance: Number.NaN, signal: 0.5 } as const
        const error = yield* Effect.flip(Gate.restore("/nowhere", options))
        assert.strictEqual(error.reason._tag, "OptionsInvalid")
        for (const name of Object.keys(options)) assert.include(error.message, `gate.${name}`)
        // 0 is no signal: a guest that is to be sent none has none configured.
        for (const signal of [0, -1, 65]) {
          const refused = yield* Effect.flip(Gate.restore("/nowhere", { signal }))
          assert.include(refused.message, "gate.signal: expected the number of a signal, 1 to 64")
          assert.include((yield* Effect.flip(Gate.fork(null as never, false, { signal }))).message, "gate.signal")
        }
        const misspelt = { guestTimout: "1 second", identity: { hostName: "mine", machineID: "0" } } as object
        const unknown = yield* Effect.flip(Gate.restore("/nowhere", misspelt))
        assert.strictEqual(unknown.reason._tag, "OptionsInvalid")
        for (const name of ["guestTimout", "identity.hostName", "identity.machineID"])
          assert.include(unknown.message, `gate.${name}: no such option`)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-clone-has-the-right-time-whenever-it-goes-on-however-long-it-stood", () =>
    Effect.gen(function* () {
      const standing = [0, 1, 4, 6, 30, 999, 1_001, 20_000, 86_400_000]
      yield* TestClock.setTime(1_800_000_000_000)
      const { directory } = yield* captureAt("WorkloadPreExec")
      yield* Effect.scoped(
        Effect.gen(function* () {
          const clone = yield* Gate.restore(directory)
          for (const millis of standing) {
            const before = yield* clone.clockErrorNanos
            yield* TestClock.adjust(millis)
            // While it is stopped its error grows, and is reported.
            assert.strictEqual((yield* clone.clockErrorNanos) - before, millis * 1e6)
            const nowNanos = yield* clone.machine.nowNanos
            const guest = BigInt(yield* stdoutOf(clone, "date", "+%s%N"))
            const passed = (yield* clone.machine.nowNanos) - nowNanos
            const error = Number((yield* Clock.currentTimeNanos) - guest) + passed
            assert.isAtMost(Math.abs(error), 5e6 + 2e6, `after ${millis} ms`)
          }
          const exchanges = (yield* clone.machine.eventsSoFar()).filter((event) => event._tag === "IdentityApplied")
          assert.strictEqual(exchanges.length, 1)
        })
      )
    }).pipe(Effect.provide(host()))
  )

  it.effect("a-clock-that-was-chosen-is-left-alone", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const clone = yield* Gate.restore(directory, { identity: { realtimeNanos: 1_700_000_000_000_000_000n } })
        yield* TestClock.adjust("1 hour")
        const guest = BigInt(yield* stdoutOf(clone, "date", "+%s%N"))
        assert.isBelow(Number(guest - 1_700_000_000_000_000_000n), 1e9)
        assert.strictEqual(yield* clone.clockErrorNanos, 0)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-thousand-clones-are-a-thousand-machines", () =>
    Effect.gen(function* () {
      const { directory } = yield* captureAt("WorkloadPreExec")
      const seen = new Set<string>()
      for (let index = 0; index < 1_000; index++) {
        yield* Effect.scoped(
          Effect.gen(function* () {
            const clone = yield* Gate.restore(directory)
            seen.add(`uuid ${yield* stdoutOf(clone, "cat", "/proc/sys/kernel/random/uuid")}`)
            seen.add(`id ${yield* stdoutOf(clone, "cat", "/etc/machine-id")}`)
          })
        )
      }
      assert.strictEqual(seen.size, 2_000)
    }).pipe(Effect.provide(host()))
  )

  it.effect("a-frozen-workload-does-nothing-before-the-hand-over", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory, manifest } = yield* captureAt("ListenerBound")
        const { acknowledgedAtNanos, machine } = yield* Gate.restore(directory)
        const kinds = (yield* machine.eventsSoFar()).map((event) => event._tag)
        assert.deepStrictEqual(
          kinds.filter((kind) => kind === "SerialLine" || kind === "ListenerBound"),
          []
        )
        assert.include(kinds, "AgentThawed")
        assert.isAbove(acknowledgedAtNanos, manifest.capture.atNanos)
        // It continues where it was frozen, delayed by the time of the freeze.
        const stop = yield* machine.run({ kinds: ["SerialLine"] })
        assert.strictEqual(stop.atNanos, 5_000_000_000 + 2_000_000)
      })
    ).pipe(Effect.provide(host()))
  )

  const manners: ReadonlyArray<readonly [string, IdentityManners, string]> = [
    ["silent", "silent", "AcknowledgementMissing"],
    ["late", { afterNanos: 9_000_000_000 }, "AcknowledgementMissing"],
    ["wrong", "wrongToken", "AcknowledgementWrong"],
    ["refusing", "reject", "IdentityRejected"],
    ["panicking", "panic", "GuestEnded"]
  ]
  for (const [word, identity, expected] of manners) {
    it.effect(`a-${word}-guest-is-destroyed`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const { directory } = yield* captureAt("ListenerBound")
          const before = scriptedMachines.open
          const states: Array<GateState["_tag"]> = []
          const error = yield* Effect.flip(
            Gate.restore(directory, { onState: (state) => Effect.sync(() => states.push(state._tag)) })
          )
          assert.strictEqual(error.reason._tag, expected)
          assert.strictEqual(states.at(-1), "Destroyed")
          assert.strictEqual(scriptedMachines.open, before)
        })
      ).pipe(Effect.provide(host({ identity })))
    )
  }

  it.effect("a-guest-that-takes-too-much-host-time-is-destroyed", () => {
    const files = new MemoryFiles()
    return Effect.gen(function* () {
      const { directory } = yield* captureAt("WorkloadPreExec").pipe(Effect.provide(host({}, files), { local: true }))
      const before = scriptedMachines.open
      const fiber = yield* Effect.scoped(Effect.flip(Gate.restore(directory, { hostTimeout: "1 second" }))).pipe(
        Effect.provide(host({ hostMillisPerRun: 60_000 }, files), { local: true }),
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(error.reason._tag === "AcknowledgementMissing" && error.reason.clock, "host")
      assert.strictEqual(scriptedMachines.open, before)
    })
  })

  it.effect("a-guest-without-an-agent-is-refused", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec", false)
        assert.strictEqual((yield* Effect.flip(Gate.restore(directory))).reason._tag, "AgentAbsent")
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-fork-is-the-same-machine-once-more-and-through-it-another-one", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const { machine } = yield* Gate.restore(directory)
        // The fork itself is the same machine once more; the law of every engine says so.
        const raw = yield* machine.fork
        assert.strictEqual(yield* raw.digest, yield* machine.digest)
        const before = scriptedMachines.open
        const one = yield* Gate.fork(machine)
        const other = yield* Gate.fork(machine)
        assert.strictEqual(new Set([one, other].map(({ identity }) => identity.machineId)).size, 2)
        assert.notStrictEqual(yield* one.machine.digest, yield* other.machine.digest)
        assert.strictEqual(scriptedMachines.open, before + 2)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-fork-that-it-refuses-is-destroyed-and-the-machine-goes-on", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot({ kernelPath: "/kernel" })
        yield* machine.run({ kinds: ["ListenerBound"] })
        const before = scriptedMachines.open
        assert.strictEqual((yield* Effect.flip(Gate.fork(machine))).reason._tag, "AcknowledgementMissing")
        assert.strictEqual(scriptedMachines.open, before)
        assert.isString(yield* machine.digest)
      })
    ).pipe(Effect.provide(host({ identity: "silent" })))
  )

  it.effect("a-malformed-identity-is-refused-whole-before-anything-is-opened", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const before = scriptedMachines.open
        const wrong = { machineId: "XYZ", hostname: "bad-", entropy: new Uint8Array(8), env: { "": "x" } }
        const { reason } = yield* Effect.flip(Gate.restore(directory, { identity: wrong }))
        const names = reason._tag === "OptionsInvalid" ? reason.problems.map((problem) => problem.split(":")[0]) : []
        assert.deepStrictEqual(
          names,
          ["entropy", "hostname", "machineId", "env"].map((name) => `gate.identity.${name}`)
        )
        assert.strictEqual(scriptedMachines.open, before)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("a-snapshot-that-is-replaced-while-it-is-restored-is-the-old-one-or-the-new-one", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const vmm = yield* Vmm
        const store = yield* SnapshotStore
        let replacements = 0
        const replace = Effect.gen(function* () {
          replacements += 1
          yield* store.remove(directory)
          yield* publishAt("WorkloadPreExec", replacements * 1_000_000)
        }).pipe(Effect.provideService(Vmm, vmm), Effect.provideService(SnapshotStore, store), Effect.orDie)
        const replacing: typeof vmm = {
          ...vmm,
          restore: (path, chain) =>
            Effect.andThen(
              Effect.suspend(() => (replacements < 3 ? replace : Effect.void)),
              vmm.restore(path, chain)
            )
        }
        const clone = yield* Gate.restore(directory).pipe(Effect.provideService(Vmm, replacing))
        assert.strictEqual(replacements, 3)
        assert.strictEqual(clone.snapshot.manifest.capture.atNanos, 303_000_000)
      })
    ).pipe(Effect.provide(host()))
  )

  it.effect("an-interrupted-restore-destroys-its-machine", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const { directory } = yield* captureAt("WorkloadPreExec")
        const before = scriptedMachines.open
        const fiber = yield* Effect.forkChild(Gate.restore(directory, { identity: {} }), { startImmediately: true })
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(scriptedMachines.open, before)
      })
    ).pipe(Effect.provide(host({ identity: { afterNanos: 4_000_000_000 } })))
  )

  const inputs: fc.Arbitrary<GateInput> = fc.oneof(
    fc.constant<GateInput>({ _tag: "Verify" }),
    fc.nat({ max: 2 }).map((token): GateInput => ({ _tag: "SendIdentity", token })),
    fc.nat({ max: 2 }).map((token): GateInput => ({ _tag: "Acknowledge", token })),
    fc.constant<GateInput>({ _tag: "HandOver" }),
    fc.constant<GateInput>({ _tag: "Destroy", why: "test" })
  )
  it("nothing-is-ready-that-was-not-verified-and-acknowledged-under-its-last-token", () => {
    fc.assert(
      fc.property(fc.array(inputs, { maxLength: 12 }), (sequence) => {
        let state: GateState = gateLoaded
        const taken: Array<GateInput> = []
        for (const input of sequence) {
          const next = stepGate(state, input)
          if (next._tag !== "Destroyed" && next !== state) taken.push(input)
          state = next
        }
        if (state._tag !== "Ready") return
        const tags = taken.map((input) => input._tag)
        assert.strictEqual(tags[0], "Verify")
        const sent = taken.findLast((input) => input._tag === "SendIdentity")
        const acknowledged = taken.findLast((input) => input._tag === "Acknowledge")
        assert.strictEqual(
          acknowledged?._tag === "Acknowledge" && acknowledged.token,
          sent?._tag === "SendIdentity" && sent.token
        )
        assert.isAbove(tags.lastIndexOf("Acknowledge"), tags.lastIndexOf("SendIdentity"))
      }),
      { numRuns: 20_000 }
    )
  })
})
