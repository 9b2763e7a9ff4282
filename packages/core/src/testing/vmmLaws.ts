/**
 * The laws of every {@link Vmm}.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { Effect, Exit, Fiber, Result, Scope } from "effect"
import { activityAfter, type GuestActivity, noActivity } from "../GuestActivity.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { type Machine, Vmm } from "../Vmm.ts"
import type { Law } from "./Law.ts"
import { captureLaws } from "./vmmCaptureLaws.ts"
import type { VmmSubject } from "./VmmSubject.ts"

const inOrder = (events: ReadonlyArray<GuestEvent>): void => {
  assert.deepEqual(
    events.map(({ seq }) => seq),
    events.map((_, index) => index)
  )
  let reached = 0
  for (const { atNanos, seq } of events) {
    assert.ok(atNanos >= reached, `event ${seq} at ${atNanos} ns comes after one at ${reached} ns`)
    reached = atNanos
  }
}

const identity = {
  entropy: new Uint8Array(32).fill(1),
  realtimeNanos: null,
  hostname: null,
  machineId: null,
  env: {},
  thaw: false
}

/**
 * The laws of the `Vmm` port for one guest.
 *
 * A law that needs equal runs asks the machine whether it is deterministic, and checks only the order of events where it is not.
 *
 * @example
 * import { ScriptedVmm, MemoryFiles, vmmLaws } from "@stillpoint/core/testing"
 * import { Effect, Layer } from "effect"
 *
 * const laws = vmmLaws({
 *   spec: Effect.succeed({ kernelPath: "/kernel" }),
 *   kind: "WorkloadPreExec",
 *   withinNanos: 1e9,
 *   forks: true,
 *   directory: null
 * })
 * const machines = Layer.provide(ScriptedVmm.layer(), new MemoryFiles().layer)
 * for (const { check } of laws) await Effect.runPromise(Effect.scoped(check).pipe(Effect.provide(machines)))
 */
export const vmmLaws = <R = never>(subject: VmmSubject<R>): ReadonlyArray<Law<Vmm | R>> => {
  const { forks, kind, withinNanos } = subject
  const boot = Effect.gen(function* () {
    return yield* (yield* Vmm).boot(yield* subject.spec)
  })
  const toKind = Effect.fnUntraced(function* (machine: Machine) {
    const stop = yield* machine.run({ kinds: [kind], atNanos: withinNanos })
    assert.equal(stop.reason, "event", `expected ${kind} within ${withinNanos} ns, the run ended: ${stop.reason}`)
    return stop
  })
  /** Events, time and state of a guest that ran to the event at one stretch. */
  const atOneStretch = Effect.gen(function* () {
    const machine = yield* boot
    const stop = yield* toKind(machine)
    return { stop, events: yield* machine.eventsSoFar(), digest: yield* machine.digest }
  })
  const goesOnAsAtOneStretch = Effect.fnUntraced(function* (machine: Machine) {
    const events = yield* machine.eventsSoFar()
    inOrder(events)
    if (!machine.isDeterministic) return
    const whole = yield* atOneStretch
    assert.deepEqual(events, whole.events)
    assert.equal(yield* machine.nowNanos, whole.stop.atNanos)
    assert.equal(yield* machine.digest, whole.digest)
  })

  return [
    {
      name: "nothing-executes-before-a-run",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const seen: Array<GuestEvent> = []
        const subscription = machine.events$.subscribe((event) => seen.push(event))
        const before = yield* machine.digest
        yield* Effect.yieldNow
        assert.equal(yield* machine.nowNanos, 0)
        // What engine it has is said of it, not by its guest.
        const events = [...(yield* machine.eventsSoFar()), ...seen]
        assert.deepEqual(
          events.filter(({ _tag }) => _tag !== "EngineChosen"),
          []
        )
        assert.equal(yield* machine.digest, before)
        subscription.unsubscribe()
      })
    },
    {
      name: "events-are-numbered-without-gaps-and-never-go-back-in-time",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const stop = yield* toKind(machine)
        const events = yield* machine.eventsSoFar()
        inOrder(events)
        assert.ok(events.length > 1)
        assert.ok((events.at(-1)?.atNanos ?? Infinity) <= stop.atNanos)
      })
    },
    {
      name: "every-subscriber-has-every-event-when-a-run-returns-however-late-it-comes",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const early: Array<GuestEvent> = []
        const subscriptions = [machine.events$.subscribe((event) => early.push(event))]
        const stop = yield* toKind(machine)
        const late: Array<GuestEvent> = []
        subscriptions.push(machine.events$.subscribe((event) => late.push(event)))
        const latest: Array<GuestEvent> = []
        subscriptions.push(machine.eventsFrom(1).subscribe((event) => latest.push(event)))
        yield* machine.run({ budgetNanos: Math.max(1, Math.floor(stop.atNanos / 10)) })
        const events = yield* machine.eventsSoFar()
        assert.deepEqual(early, events)
        assert.deepEqual(late, events)
        assert.deepEqual(latest, events.slice(1))
        assert.deepEqual(yield* machine.eventsSoFar(1), events.slice(1))
        for (const subscription of subscriptions) subscription.unsubscribe()
      })
    },
    {
      name: "a-run-until-a-kind-stops-right-at-its-first-event",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const stop = yield* toKind(machine)
        const events = yield* machine.eventsSoFar()
        assert.equal(
          events.findIndex((event) => event._tag === kind),
          events.length - 1
        )
        assert.equal(stop.seq, events.at(-1)?.seq)
        assert.equal(yield* machine.nowNanos, stop.atNanos)
        // An engine that cannot stop exactly stops later, never earlier.
        if (machine.isDeterministic) assert.equal(stop.atNanos, events.at(-1)?.atNanos)
        else assert.ok(stop.atNanos >= (events.at(-1)?.atNanos ?? 0))
      })
    },
    {
      name: "a-run-until-a-time-or-budget-stops-at-or-after-it-and-not-before",
      check: Effect.gen(function* () {
        const end = (yield* atOneStretch).stop.atNanos
        const machine = yield* boot
        const half = Math.floor(end / 2)
        const stop = yield* machine.run({ atNanos: half })
        assert.equal(stop.reason, "time")
        assert.ok(stop.atNanos >= half)
        assert.equal(yield* machine.nowNanos, stop.atNanos)
        const budgetNanos = Math.max(1, Math.floor(end / 10))
        const next = yield* machine.run({ budgetNanos })
        assert.equal(next.reason, "budget")
        assert.ok(next.atNanos >= stop.atNanos + budgetNanos)
        for (const { atNanos } of yield* machine.eventsSoFar()) assert.ok(atNanos <= next.atNanos)
      })
    },
    {
      name: "a-run-until-a-time-that-has-passed-executes-nothing",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const { atNanos } = yield* toKind(machine)
        const before = { events: yield* machine.eventsSoFar(), digest: yield* machine.digest }
        const stop = yield* machine.run({ atNanos: Math.floor(atNanos / 2) })
        assert.deepEqual(stop, { reason: "time", seq: null, atNanos })
        assert.deepEqual({ events: yield* machine.eventsSoFar(), digest: yield* machine.digest }, before)
      })
    },
    {
      name: "cutting-a-run-into-pieces-changes-no-event",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const budgetNanos = Math.max(1, Math.floor((yield* atOneStretch).stop.atNanos / 7))
        for (let piece = 0; piece < 100; piece++) {
          const stop = yield* machine.run({ kinds: [kind], budgetNanos })
          if (stop.reason === "event") break
          assert.equal(stop.reason, "budget")
        }
        yield* goesOnAsAtOneStretch(machine)
      })
    },
    {
      name: "a-paused-run-says-so-and-the-guest-goes-on-as-if-nothing-had-been",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const running = yield* Effect.forkChild(machine.run({ kinds: [kind], atNanos: withinNanos }), {
          startImmediately: true
        })
        yield* machine.pause
        const stop = yield* Fiber.join(running)
        assert.equal(stop.reason, "paused")
        assert.equal(yield* machine.nowNanos, stop.atNanos)
        yield* toKind(machine)
        yield* goesOnAsAtOneStretch(machine)
      })
    },
    {
      name: "an-interrupted-run-leaves-the-guest-standing-and-able-to-go-on",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const running = yield* Effect.forkChild(machine.run({ kinds: [kind], atNanos: withinNanos }), {
          startImmediately: true
        })
        yield* Fiber.interrupt(running)
        const stands = { atNanos: yield* machine.nowNanos, digest: yield* machine.digest }
        yield* Effect.yieldNow
        assert.deepEqual({ atNanos: yield* machine.nowNanos, digest: yield* machine.digest }, stands)
        yield* toKind(machine)
        yield* goesOnAsAtOneStretch(machine)
      })
    },
    {
      name: "a-second-run-is-refused-and-does-not-disturb-the-first",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const running = yield* Effect.forkChild(toKind(machine), { startImmediately: true })
        const refused = yield* Effect.flip(machine.run({}))
        assert.equal(refused._tag, "MachineError")
        assert.equal(refused.reason._tag, "AlreadyRunning")
        yield* Fiber.join(running)
        yield* goesOnAsAtOneStretch(machine)
      })
    },
    {
      name: "a-closed-machine-completes-its-events-and-refuses-everything",
      check: Effect.gen(function* () {
        const scope = yield* Scope.make()
        const machine = yield* Scope.provide(boot, scope)
        yield* toKind(machine)
        const completed = yield* Effect.forkChild(
          Effect.callback<void>((resume) => {
            const subscription = machine.events$.subscribe({ complete: () => resume(Effect.void) })
            return Effect.sync(() => subscription.unsubscribe())
          }),
          { startImmediately: true }
        )
        yield* Scope.close(scope, Exit.void)
        yield* Fiber.join(completed)
        const refusals = {
          run: yield* Effect.flip(machine.run({})),
          go: yield* Effect.flip(machine.go),
          sendSerial: yield* Effect.flip(machine.sendSerial(0, Uint8Array.of(10))),
          exec: yield* Effect.flip(machine.exec({ argv: ["true"] })),
          requestFreeze: yield* Effect.flip(machine.agent.requestFreeze),
          requestThaw: yield* Effect.flip(machine.agent.requestThaw),
          requestIdentity: yield* Effect.flip(machine.agent.requestIdentity(identity)),
          attachDisk: yield* Effect.flip(machine.attachDisk({ name: "late", access: "scratch", sizeBytes: 4096 })),
          capture: yield* Effect.flip(machine.capture("/nowhere")),
          fork: yield* Effect.flip(Effect.scoped(machine.fork)),
          digest: yield* Effect.flip(machine.digest)
        }
        for (const [operation, { reason }] of Object.entries(refusals)) {
          assert.equal(reason._tag, "Closed", `${operation}: ${reason._tag}: ${reason.message}`)
        }
      })
    },
    {
      name: forks ? "a-fork-is-a-machine-of-its-own-in-the-same-state" : "a-fork-is-refused-by-its-typed-error",
      check: Effect.gen(function* () {
        const machine = yield* boot
        const { atNanos } = yield* toKind(machine)
        if (!forks) {
          assert.equal((yield* Effect.flip(Effect.scoped(machine.fork)))._tag, "ForkError")
          return
        }
        const before = { events: yield* machine.eventsSoFar(), digest: yield* machine.digest }
        const budgetNanos = Math.max(1, Math.floor(atNanos / 10))
        const nextSeq = before.events.length
        const after = Effect.fnUntraced(function* (each: Machine) {
          const stop = yield* each.run({ budgetNanos })
          return { stop, events: yield* each.eventsSoFar(nextSeq), digest: yield* each.digest }
        })
        const forked = yield* Effect.scoped(
          Effect.gen(function* () {
            const fork = yield* machine.fork
            assert.equal(yield* fork.nowNanos, atNanos)
            assert.equal(yield* fork.digest, before.digest)
            return yield* after(fork)
          })
        )
        // The fork ran on, and was closed: the original has not moved.
        assert.equal(yield* machine.nowNanos, atNanos)
        assert.deepEqual({ events: yield* machine.eventsSoFar(), digest: yield* machine.digest }, before)
        const original = yield* after(machine)
        if (machine.isDeterministic) assert.deepEqual(original, forked)
      })
    },
    {
      name: "a-disk-goes-into-an-empty-slot-and-nowhere-else",
      check: Effect.gen(function* () {
        const machine = yield* (yield* Vmm).boot({ ...(yield* subject.spec), diskSlots: 2 })
        const disk = { name: "first", access: "scratch" as const, sizeBytes: 1 << 20 }
        const attached = yield* Effect.result(machine.attachDisk(disk))
        if (Result.isFailure(attached)) {
          // A recording has no slots, and fails with that reason.
          assert.equal(attached.failure.reason._tag, "NotInARecording")
          return
        }
        const attach = (name: string) => Effect.flip(machine.attachDisk({ ...disk, name }))
        assert.equal((yield* attach("first")).reason._tag, "DiskNameTaken")
        yield* machine.attachDisk({ ...disk, name: "second" })
        assert.equal((yield* attach("third")).reason._tag, "SlotTaken")
        yield* toKind(machine)
      })
    },
    {
      name: "what-a-guest-is-in-the-middle-of-is-what-its-events-say",
      check: Effect.gen(function* () {
        const machine = yield* boot
        assert.deepEqual(machine.beginning, noActivity)
        const seen = new Set<boolean>()
        for (const kinds of [[kind], ["GuestIdle"], ["GuestBusy"], ["IoStarted"]] as const) {
          yield* machine.run({ kinds, budgetNanos: withinNanos })
          const activity = yield* machine.activity
          const told = activityAfter(machine.beginning, yield* machine.eventsSoFar())
          const inOrder = (each: GuestActivity) => ({ ...each, devicesInFlight: each.devicesInFlight.toSorted() })
          assert.deepEqual(inOrder(activity), inOrder({ ...told, atNanos: yield* machine.nowNanos }))
          seen.add(activity.isIdle)
          if (!forks) continue
          // A new subscriber of a fork has seen none of the earlier events.
          yield* Effect.scoped(
            Effect.gen(function* () {
              const fork = yield* machine.fork
              if (machine.engine === "replay") return
              assert.deepEqual(fork.beginning, activity)
              assert.deepEqual(yield* fork.activity, activity)
            })
          )
        }
        assert.ok(seen.size > 0)
      })
    },
    ...captureLaws(subject, boot, toKind)
  ]
}
