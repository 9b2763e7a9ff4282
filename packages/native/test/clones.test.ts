import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type GatedMachine, journalMemory, type Machine, Pipeline, SnapshotStore } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect, Layer } from "effect"
import { join } from "node:path"
import { folder, layer, linux } from "./guests.ts"

const clones = Number(process.env["STILLPOINT_CLONES"] ?? 200)

const host = Layer.mergeAll(layer, SnapshotStore.layerHost, journalMemory)

const stdoutOf = (machine: Machine, ...argv: ReadonlyArray<string>) =>
  Effect.map(machine.exec({ argv }), ({ stdout }) => new TextDecoder().decode(stdout).trim())

/** A snapshot of Linux at its first event of a kind; the workload is an HTTP server if not said otherwise. */
const snapshotAt = Effect.fn("snapshotAt")(function* (
  kind: "AgentReady" | "WorkloadPreExec" | "ListenerBound" | "HeartbeatTick",
  argv?: ReadonlyArray<string> | null
) {
  const target = join(yield* folder, "snapshot")
  const { value } = yield* Effect.scoped(Pipeline.run(yield* linux(argv), { policy: kindTrigger(kind), target }))
  return value.snapshot
})

describe("clones of a real guest", () => {
  withLayer(host, { excludeTestServices: true, timeout: 600_000 })((it) => {
    it.effect(`${clones}-clones-of-one-snapshot-are-${clones}-machines`, () =>
      Effect.scoped(
        Effect.gen(function* () {
          const snapshot = yield* snapshotAt("AgentReady", null)
          const seen = { random: new Set<string>(), machineId: new Set<string>(), hostname: new Set<string>() }
          // Each read of `uuid` draws from the kernel's random source.
          const files = ["/proc/sys/kernel/random/uuid", "/etc/machine-id", "/proc/sys/kernel/hostname"]
          const look = ({ identity, machine }: GatedMachine) =>
            Effect.gen(function* () {
              const [random, machineId, hostname] = (yield* stdoutOf(machine, "cat", ...files)).split("\n")
              assert.match(random ?? "", /^[0-9a-f-]{36}$/)
              assert.strictEqual(machineId, identity.machineId)
              assert.strictEqual(hostname, identity.hostname)
              seen.random.add(random ?? "")
              seen.machineId.add(machineId ?? "")
              seen.hostname.add(hostname ?? "")
            })
          yield* Effect.forEach(
            Array.from({ length: clones }),
            () => Effect.scoped(Effect.flatMap(Gate.restore(snapshot.directory), look)),
            { concurrency: 2, discard: true }
          )
          for (const values of Object.values(seen)) assert.strictEqual(values.size, clones)
        })
      )
    )

    it.effect("a-clones-wall-clock-is-right-and-its-monotonic-clock-goes-on-from-the-capture", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const snapshot = yield* snapshotAt("ListenerBound")
          // Host time that must not show up in the guest.
          yield* Effect.sleep("300 millis")
          const { acknowledgedAtNanos, clockErrorNanos, machine } = yield* Gate.restore(snapshot.directory)
          assert.isAtMost(Math.abs(clockErrorNanos), 10e6)
          assert.isAtMost(acknowledgedAtNanos - snapshot.manifest.capture.atNanos, 100e6)
          const [uptime] = (yield* stdoutOf(machine, "cat", "/proc/uptime")).split(" ")
          const now = yield* machine.nowNanos
          // The guest's own clock begins a little after its first instruction, and nothing has been added to it since.
          assert.isAtMost(Math.abs(Number(uptime) * 1e9 - now), 500e6)
        })
      )
    )

    it.effect("the-wall-clock-that-a-guest-reads-is-the-hosts", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const snapshot = yield* snapshotAt("AgentReady", null)
          const { acknowledgedAtNanos, machine } = yield* Gate.restore(snapshot.directory)
          const handedOver = Date.now()
          yield* machine.exec({ argv: ["touch", "/now"] })
          const spent = ((yield* machine.nowNanos) - acknowledgedAtNanos) / 1e6
          const [seconds = "", fraction = ""] = (yield* stdoutOf(machine, "date", "-r", "/now", "+%s.%N")).split(".")
          // A build of busybox without nanoseconds tells whole seconds: the error is then only known that well.
          const grain = /^\d+$/.test(fraction) ? 10 : 1_010
          const read = Number(seconds) * 1_000 + (grain === 10 ? Number(`0.${fraction}`) * 1_000 : 500)
          assert.isAtMost(Math.abs(read - handedOver), grain + spent)
        })
      )
    )

    it.effect("a-frozen-workload-does-nothing-between-capture-and-identity-and-no-backlog-of-timers-fires", () =>
      Effect.scoped(
        Effect.gen(function* () {
          const ticking = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done"
          const snapshot = yield* snapshotAt("HeartbeatTick", ["/bin/sh", "-c", ticking])
          assert.isTrue(snapshot.manifest.capture.isWorkloadFrozen)
          yield* Effect.sleep("500 millis")
          const { machine } = yield* Gate.restore(snapshot.directory)
          const ticksIn = Effect.map(machine.eventsSoFar(), (events) =>
            events.filter((event) => event._tag === "SerialLine" && event.port === 0 && event.text.startsWith("tick"))
          )
          assert.deepStrictEqual(yield* ticksIn, [])
          const thawedAt = yield* machine.nowNanos
          yield* machine.run({ budgetNanos: 500e6 })
          const ticks = yield* ticksIn
          // One every 50 ms from where it was, not ten at once for the host time that went by.
          assert.isAtLeast(ticks.length, 5)
          assert.isAtMost(ticks.length, 11)
          const early = ticks.filter((tick) => tick.atNanos < thawedAt + 40e6)
          assert.isAtMost(early.length, 1)
        })
      )
    )
  })
})
