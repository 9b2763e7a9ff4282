import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, restoreSnapshot, SnapshotStore } from "@stillpoint/core"
import { Context, Effect, Layer } from "effect"
import { ask, captureHeld, captureWitness, hasCompiler, layer, type Testimony } from "./witness.ts"

const clones = Number(process.env["STILLPOINT_CLONES"] ?? 1000)

/** The host's wall clock, nanoseconds since 1970. */
const hostNanos = (): bigint => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))

/** The gate's tolerance, and what the host's own clocks differ by, nanoseconds. */
const clockSlackNanos = 10e6

/** Guest time of an hour. */
const hourNanos = 3_600_000_000_000

const kinds = (events: ReadonlyArray<{ readonly _tag: string }>) => events.map((event) => event._tag)

/** A machine of the snapshot that did not pass a gate. */
const ungated = (directory: string) =>
  Effect.flatMap(SnapshotStore, (store) => Effect.flatMap(store.open(directory), restoreSnapshot))

/** The snapshot of the witness at work, taken once: nothing that a test does changes it. */
class Witness extends Context.Service<Witness, Effect.Success<typeof captureWitness>>()("test/gate/Witness") {
  static readonly layer = Layer.effect(Witness)(captureWitness)
}

describe.skipIf(!hasCompiler)("clones of a guest in the middle of its work", () => {
  withLayer(Layer.provideMerge(Witness.layer, layer), { excludeTestServices: true })((it) => {
    it.effect(
      "every-clone-is-another-machine",
      () =>
        Effect.gen(function* () {
          const { directory } = yield* Witness
          // The workload's progress at the capture, from a clone whose workload is never thawed.
          const captured = yield* Effect.scoped(Effect.flatMap(ungated(directory), ask))
          const told: Array<Testimony> = []
          const begun = performance.now()
          yield* Effect.forEach(
            Array.from({ length: clones }),
            () =>
              Effect.scoped(
                Effect.gen(function* () {
                  const clone = yield* Gate.restore(directory)
                  const testimony = yield* ask(clone.machine)
                  assert.strictEqual(testimony.machineId, clone.identity.machineId)
                  assert.strictEqual(testimony.hostname, clone.identity.hostname)
                  // It continues from the capture.
                  assert.isAbove(testimony.count, captured.count)
                  told.push(testimony)
                })
              ),
            { concurrency: 2, discard: true }
          )
          const milliseconds = (performance.now() - begun) / clones
          yield* Effect.logInfo(`${clones} clones, ${milliseconds.toFixed(1)} ms each from restore to the answer`)
          for (const name of ["random", "uuid", "machineId", "hostname"] as const) {
            assert.strictEqual(new Set(told.map((each) => each[name])).size, clones, name)
          }
        }),
      1_200_000
    )

    it.effect("clones-of-equal-identity-are-equal", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        const identity = {
          entropy: new Uint8Array(32).fill(7),
          realtimeNanos: 1_800_000_000_000_000_000n,
          hostname: "same",
          machineId: "0123456789abcdef".repeat(2)
        }
        const told = yield* Effect.forEach([0, 1], () =>
          Effect.scoped(
            Effect.gen(function* () {
              const { machine } = yield* Gate.restore(directory, { identity })
              return { testimony: yield* ask(machine), digest: yield* machine.digest }
            })
          )
        )
        // Nothing but the identity makes the difference: what differs elsewhere differs because of it.
        assert.deepStrictEqual(told[0], told[1])
      })
    )

    it.effect("no-workload-instruction-runs-between-restore-and-identity", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        // The workload's progress at the capture, from a clone whose workload is never thawed.
        const captured = yield* Effect.scoped(
          Effect.gen(function* () {
            const machine = yield* ungated(directory)
            const first = yield* ask(machine)
            yield* machine.run({ budgetNanos: 50_000_000 })
            assert.strictEqual((yield* ask(machine)).count, first.count)
            return first
          })
        )
        assert.isAbove(captured.count, 1000)
        yield* Effect.scoped(
          Effect.gen(function* () {
            const machine = yield* ungated(directory)
            // Through the gate as a guest that is not frozen, so that it is not thawed.
            yield* Gate.admit(machine, false)
            const identified = yield* ask(machine)
            assert.strictEqual(identified.count, captured.count)
            assert.strictEqual(identified.wakes, captured.wakes)
            assert.notStrictEqual(identified.machineId, captured.machineId)
          })
        )
        yield* Effect.scoped(
          Effect.gen(function* () {
            const { machine } = yield* Gate.restore(directory)
            const events = yield* machine.eventsSoFar()
            const before = kinds(events)
            // The kernel reports that it reseeds itself; the workload prints nothing.
            const lines = events.flatMap((event) => (event._tag === "SerialLine" ? [event.text] : []))
            assert.deepStrictEqual(
              lines.filter((line) => !line.includes("crng reseeded")),
              []
            )
            assert.isBelow(before.lastIndexOf("IdentityApplied"), before.indexOf("AgentThawed"))
            const handedOver = yield* ask(machine)
            assert.isAbove(handedOver.count, captured.count)
            const stop = yield* machine.run({ kinds: ["SerialLine"], budgetNanos: 5_000_000_000 })
            assert.strictEqual(stop.reason, "event")
          })
        )
      })
    )

    it.effect("an-identity-is-given-once", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        const { machine } = yield* Gate.restore(directory)
        assert.strictEqual(kinds(yield* machine.eventsSoFar()).filter((kind) => kind === "IdentityApplied").length, 1)
      })
    )

    it.effect("the-wall-clock-is-the-host's-at-hand-over", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        const errors: Array<number> = []
        for (let index = 0; index < 11; index++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              let acknowledged = 0n
              const { clockErrorNanos, machine } = yield* Gate.restore(directory, {
                onState: ({ _tag }) =>
                  Effect.sync(() => {
                    if (_tag === "Acknowledged") acknowledged = hostNanos()
                  })
              })
              errors.push(Math.abs(yield* clockErrorNanos))
              const handedOverAt = yield* machine.nowNanos
              const { betweenNanos, realtimeNanos } = yield* ask(machine)
              const answered = hostNanos()
              // It is put right after the acknowledgement, and once more before the command if the hand-over took long: what the
              // guest reads is the host's time of a moment in between, however far a busy host draws that out.
              const guestNanos = BigInt(betweenNanos[1] - handedOverAt)
              assert.isAtLeast(Number(realtimeNanos - acknowledged), -clockSlackNanos)
              assert.isAtMost(Number(realtimeNanos - (answered + guestNanos)), clockSlackNanos)
            })
          )
        }
        yield* Effect.logInfo(
          `wall clock at hand-over off by ${errors.map((each) => (each / 1e6).toFixed(1)).join(", ")} ms`
        )
      })
    )

    it.effect("the-error-of-the-wall-clock-that-is-told-is-its-error", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        // Never put right again: what the guest reads is what it was handed over with.
        const { clockErrorNanos, machine } = yield* Gate.restore(directory, { clockTolerance: "1 hour" })
        for (let index = 0; index < 5; index++) {
          const standsAt = yield* machine.nowNanos
          const before = hostNanos()
          const told = yield* clockErrorNanos
          const after = hostNanos()
          const { betweenNanos, realtimeNanos } = yield* ask(machine)
          // The guest read its clock at some moment of the command.
          const guestThen = realtimeNanos - BigInt(Math.round((betweenNanos[0] + betweenNanos[1]) / 2 - standsAt))
          const slack = clockSlackNanos + (betweenNanos[1] - betweenNanos[0]) / 2
          assert.isAtLeast(told, Number(before - guestThen) - slack)
          assert.isAtMost(told, Number(after - guestThen) + slack)
          yield* Effect.sleep("30 millis")
        }
      })
    )

    it.effect("monotonic-time-does-not-jump-and-no-timer-backlog-fires", () =>
      Effect.gen(function* () {
        const { directory } = yield* Witness
        const captured = yield* Effect.scoped(Effect.flatMap(ungated(directory), ask))
        const { manifest } = yield* (yield* SnapshotStore).open(directory)
        // An hour, and then a year, after the capture, as far as the guest can tell.
        for (const laterNanos of [hourNanos, 365 * 24 * hourNanos]) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const realtimeNanos = captured.realtimeNanos + BigInt(laterNanos)
              const { machine } = yield* Gate.restore(directory, { identity: { realtimeNanos } })
              yield* machine.run({ budgetNanos: 50_000_000 })
              const later = yield* ask(machine)
              const guestNanos = later.betweenNanos[1] - manifest.capture.atNanos
              assert.isAbove(Number(later.realtimeNanos - captured.realtimeNanos), laterNanos - 1e9)
              // Monotonic and boot time went on by guest time, not by the time that the snapshot lay on the disk.
              assert.isAtLeast(later.monotonicNanos, captured.monotonicNanos - 50e6)
              assert.isBelow(later.monotonicNanos - captured.monotonicNanos, guestNanos + 50e6)
              assert.isBelow(later.boottimeNanos - captured.boottimeNanos, guestNanos + 50e6)
              // A timer of one millisecond: at most what the freeze itself held up, no burst of an hour's.
              assert.isAbove(later.wakes, captured.wakes + 10)
              assert.isBelow(later.wakes - captured.wakes, guestNanos / 1e6 + 5)
              assert.isBelow(later.mostExpirations, 50)
              assert.isBelow(later.longestNanos, 100e6)
            })
          )
        }
      })
    )

    it.effect("a-held-workload-starts-after-its-clone-has-been-handed-over", () =>
      Effect.gen(function* () {
        const { directory, manifest } = yield* captureHeld
        assert.isFalse(manifest.capture.isWorkloadFrozen)
        const told: Array<Testimony> = []
        for (let index = 0; index < 5; index++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const { clockErrorNanos, machine } = yield* Gate.restore(directory)
              const exchanges = kinds(yield* machine.eventsSoFar()).filter((kind) => kind === "IdentityApplied").length
              // Well within the hold, however often the clock had to be set.
              assert.isBelow((yield* machine.nowNanos) - manifest.capture.atNanos, 5e6)
              const { code } = yield* machine.exec({ argv: ["test", "-e", "/run/witness"] })
              assert.strictEqual(code, 1)
              const stop = yield* machine.run({ kinds: ["ListenerBound"], budgetNanos: 5_000_000_000 })
              assert.strictEqual(stop.reason, "event")
              told.push(yield* ask(machine))
              yield* Effect.logInfo(
                `identity given ${exchanges} times, clock off by ${((yield* clockErrorNanos) / 1e6).toFixed(1)} ms`
              )
            })
          )
        }
        for (const name of ["random", "uuid", "machineId", "hostname"] as const) {
          assert.strictEqual(new Set(told.map((each) => each[name])).size, 5, name)
        }
      })
    )

    it.effect("forks-through-the-gate-are-other-machines-too", () =>
      Effect.gen(function* () {
        const { directory, manifest } = yield* Witness
        const base = yield* ungated(directory)
        const told = yield* Effect.forEach(
          Array.from({ length: 10 }),
          () =>
            Effect.scoped(
              Effect.gen(function* () {
                const machine = yield* base.fork
                yield* Gate.admit(machine, manifest.capture.isWorkloadFrozen)
                return yield* ask(machine)
              })
            ),
          { concurrency: 2 }
        )
        for (const name of ["random", "uuid", "machineId", "hostname"] as const) {
          assert.strictEqual(new Set(told.map((each) => each[name])).size, 10, name)
        }
      })
    )
  })
})
