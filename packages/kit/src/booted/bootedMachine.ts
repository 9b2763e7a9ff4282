/**
 * The machine that guests of a booted kit are made of, and its snapshot.
 *
 * @module
 */
import {
  bootSpecJson,
  type BootSpec,
  captureRecording,
  type Machine,
  readRegularFile,
  recordedChoice,
  sha256,
  SnapshotStore,
  Vmm
} from "@stillpoint/core"
import { Effect, Schema } from "effect"

/** Memory with which a kit surely comes up: Debian's kernel keeps about 66 MiB for itself. */
const amplyMib = 128

/** The kit did not come up. */
export class BootedKitNotReady extends Schema.TaggedError<BootedKitNotReady>()("BootedKitNotReady", {
  /** The end of its run. */
  found: Schema.String,
  atNanos: Schema.Natural,
  /** The memory that it had. */
  memoryMib: Schema.Natural
}) {
  override get message(): string {
    const found = `expected the kit's agent to be ready, found that its boot ended (${this.found}) at ${this.atNanos} ns`
    return `${found} with ${this.memoryMib} MiB of memory: give it more if that is less than ${amplyMib}, or see what its console says`
  }
}

/** A kernel that a machine was just made of is no larger. */
const mostKernelBytes = 2 ** 31

/** Guest time that the kit may take to come up (it takes half a second), and then to come to rest. */
const bootNanos = 10_000_000_000
const restNanos = 1_000_000_000

/**
 * Identifies what a kit boots: all executed code is in the machine before its first instruction, be it kernel, root or devices. The
 * state of a machine that is not deterministic holds counters of its host, so what it is made of stands for it.
 */
export const bootedKey = (spec: BootSpec) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { boot, build } = yield* Vmm
      const machine = yield* boot(spec)
      if (machine.isDeterministic) return yield* machine.digest
      const kernel = yield* Effect.promise(() =>
        readRegularFile(spec.kernelPath, mostKernelBytes, { followsLinks: true })
      )
      const { kernelPath: _path, ...said } = bootSpecJson(spec)
      return sha256(JSON.stringify([build ?? null, machine.engine, sha256(kernel), said]))
    })
  )

/** A machine whose kit is up and at rest, with empty slots and without a workload. */
export const bootedMachine = Effect.fnUntraced(function* (spec: BootSpec, memoryMib: number) {
  const machine = yield* (yield* Vmm).boot(spec)
  const { atNanos, reason } = yield* machine.run({ kinds: ["AgentReady"], budgetNanos: bootNanos })
  if (reason !== "event") return yield* new BootedKitNotReady({ found: reason, atNanos, memoryMib })
  // The kernel's remaining work is done once for all guests.
  yield* machine.run({ kinds: ["GuestIdle"], budgetNanos: restNanos })
  return machine
})

/** Puts the snapshot of a booted kit into the cache. */
export const publishBooted = Effect.fnUntraced(function* (machine: Machine, spec: BootSpec, target: string) {
  const store = yield* SnapshotStore
  const staging = yield* store.stage(target)
  const captured = yield* machine.capture(staging.directory, staging.kind)
  const { atNanos, engine, memoryMib, pauseNanos, seq } = captured
  const draft = {
    engine,
    ...recordedChoice(machine.engineChoice),
    runId: "booted-kit",
    memoryMib,
    configuration: bootSpecJson(spec),
    policy: { _tag: "BootedKit" },
    provenance: { _tag: "BootedKit", waitedFor: "AgentReady, then GuestIdle" },
    capture: { atNanos, seq, pauseNanos, isWorkloadFrozen: false, hasAgent: true },
    validation: "none" as const
  }
  const timeline = yield* captureRecording(machine, spec, [])
  yield* store.publish(staging, { captured, timeline, draft }, { replace: true })
}, Effect.scoped)
