import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Result } from "effect"
import { DurableFiles } from "../files/DurableFiles.ts"
import { makeDirectories } from "../files/makeDirectories.ts"
import { type Machine, Vmm } from "../Vmm.ts"
import { decodeTimeline } from "../timeline/RecordedTimeline.ts"
import { ReplayVmm } from "../timeline/ReplayVmm.ts"
import { MemoryFiles } from "./MemoryFiles.ts"
import { ScriptedVmm } from "./ScriptedVmm.ts"
import { vmmLaws } from "./vmmLaws.ts"

const recording = Result.getOrThrow(
  decodeTimeline(readFileSync(new URL("../../../../fixtures/timelines/quick-service.ndjson", import.meta.url)))
)

let directories = 0
let disks = 0
const guest = {
  spec: Effect.succeed({ kernelPath: "/kernel" }),
  kind: "WorkloadPreExec" as const,
  withinNanos: 60_000_000_000,
  forks: true
}
const laws = vmmLaws({
  ...guest,
  directory: Effect.flatMap(DurableFiles, (files) => {
    const path = `/captures/${directories++}`
    return Effect.as(makeDirectories(files, path), path)
  })
})
const scripted = () => Layer.provideMerge(ScriptedVmm.layer(), new MemoryFiles().layer)

describe("machines that follow a script", () => {
  for (const { check, name } of laws) {
    it.live(name, () => Effect.scoped(check).pipe(Effect.provide(scripted(), { local: true })))
  }
})

for (const [name, layer] of [["machines over a recorded boot", ReplayVmm.layer(recording)]] as const) {
  describe(name, () => {
    for (const { check, name } of vmmLaws({ ...guest, directory: null })) {
      it.live(name, () => Effect.scoped(check).pipe(Effect.provide(Layer.fresh(layer), { local: true })))
    }
  })
}

/** A scripted machine that breaks the law of its name, and how. */
const broken: Readonly<Record<string, (machine: Machine) => Partial<Machine>>> = {
  "nothing-executes-before-a-run": (machine) => ({ nowNanos: Effect.map(machine.nowNanos, (now) => now + 1) }),
  "events-are-numbered-without-gaps-and-never-go-back-in-time": (machine) => ({
    eventsSoFar: (seq) => Effect.map(machine.eventsSoFar(seq), (events) => events.toSpliced(1, 1))
  }),
  "every-subscriber-has-every-event-when-a-run-returns-however-late-it-comes": (machine) => ({
    events$: machine.eventsFrom(1)
  }),
  "a-run-until-a-kind-stops-right-at-its-first-event": (machine) => ({
    run: (until) => Effect.tap(machine.run(until), () => machine.run({ budgetNanos: 100_000_000 }))
  }),
  "a-run-until-a-time-or-budget-stops-at-or-after-it-and-not-before": (machine) => ({
    run: (until) => machine.run({ ...until, ...(until.budgetNanos === undefined ? {} : { budgetNanos: 1 }) })
  }),
  "a-run-until-a-time-that-has-passed-executes-nothing": (machine) => ({
    run: (until) =>
      Effect.tap(machine.run(until), ({ reason }) =>
        reason === "time" ? machine.run({ budgetNanos: 1 }) : Effect.void
      )
  }),
  "cutting-a-run-into-pieces-changes-no-event": (machine) => ({
    run: (until) =>
      until.budgetNanos === undefined
        ? machine.run(until)
        : Effect.andThen(machine.sendSerial(0, Uint8Array.of(10)), machine.run(until))
  }),
  "a-paused-run-says-so-and-the-guest-goes-on-as-if-nothing-had-been": () => ({ pause: Effect.void }),
  "an-interrupted-run-leaves-the-guest-standing-and-able-to-go-on": (machine) => ({
    run: (until) => Effect.uninterruptible(machine.run(until))
  }),
  "a-second-run-is-refused-and-does-not-disturb-the-first": (machine) => ({
    run: (until) =>
      machine.run(until).pipe(Effect.orElseSucceed(() => ({ reason: "budget" as const, seq: null, atNanos: 0 })))
  }),
  "a-closed-machine-completes-its-events-and-refuses-everything": () => ({ digest: Effect.succeed("") }),
  "a-fork-is-a-machine-of-its-own-in-the-same-state": (machine) => ({ fork: Effect.succeed(machine) }),
  "a-disk-goes-into-an-empty-slot-and-nowhere-else": (machine) => ({
    attachDisk: ({ name }) => machine.attachDisk({ name: `${name}-${disks++}`, access: "scratch", sizeBytes: 512 })
  }),
  "what-a-guest-is-in-the-middle-of-is-what-its-events-say": (machine) => ({
    activity: Effect.map(machine.activity, (activity) => ({ ...activity, isIdle: !activity.isIdle }))
  }),
  "a-restored-machine-stands-where-it-was-captured-and-goes-on-as-the-captured-one-does": (machine) => ({
    capture: (directory) =>
      Effect.map(machine.capture(directory), (captured) => ({ ...captured, seq: captured.seq + 1 }))
  }),
  "a-restored-machine-knows-what-listens-in-its-guest": (machine) => ({
    activity: Effect.map(machine.activity, (activity) => ({ ...activity, openListeners: [] }))
  }),
  "a-capture-does-not-disturb-its-machine": (machine) => ({
    capture: (directory) => Effect.tap(machine.capture(directory), () => Effect.ignore(machine.go))
  }),
  "a-chain-of-deltas-gives-the-machine-that-a-full-capture-gives": (machine) => ({
    capture: (directory) => machine.capture(directory)
  }),
  "a-restored-machine-is-captured-against-what-it-was-restored-from": (machine) => ({
    capture: (directory, kind) =>
      Effect.map(machine.capture(directory, kind), (captured) => ({ ...captured, identity: "none" }))
  }),
  "a-machine-is-captured-against-what-its-forks-were": (machine) => ({
    capture: (directory) => machine.capture(directory)
  }),
  "a-chain-with-a-link-missing-or-another-one-in-its-place-is-refused-by-name": (machine) => ({
    capture: (directory) => machine.capture(directory)
  })
}

describe("a machine that breaks a law is found out by it", () => {
  for (const { check, name } of laws) {
    it.live(name, () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const breaks = broken[name]
        assert.isDefined(breaks)
        const outcome = yield* Effect.exit(
          Effect.scoped(check).pipe(
            Effect.provideService(Vmm, {
              ...vmm,
              boot: (spec) => Effect.map(vmm.boot(spec), (machine) => ({ ...machine, ...breaks?.(machine) }))
            })
          )
        )
        assert.isTrue(Exit.isFailure(outcome))
      }).pipe(Effect.provide(scripted(), { local: true }))
    )
  }
})
