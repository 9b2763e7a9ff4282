import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as fc from "fast-check"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import { kindTrigger } from "../testing/kindTrigger.ts"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { type Machine, Vmm } from "../Vmm.ts"
import { freeRunningTimeline } from "./freeRunningTimeline.ts"
import { lockstepTimeline } from "./lockstepTimeline.ts"
import { sharedTimeline } from "./sharedTimeline.ts"

const host = Layer.provide(ScriptedVmm.layer(), new MemoryFiles().layer)
const machine = Effect.flatMap(Vmm, (vmm) => vmm.boot({ kernelPath: "/kernel" }))

const until = (atNanos: number | null, ...kinds: ReadonlyArray<GuestEventKind>) => ({ kinds, atNanos })
const seqs = (events: ReadonlyArray<GuestEvent>) => events.map(({ seq }) => seq)

describe("lockstep", () => {
  it.effect("every-event-is-told-once-and-the-guest-stands-at-the-one-that-was-asked-for", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const timeline = yield* lockstepTimeline(guest)
        const one = yield* timeline.advance(until(null, "AgentReady"))
        assert.strictEqual(one.events.at(-1)?._tag, "AgentReady")
        assert.strictEqual(yield* guest.nowNanos, 200_000_000)
        const two = yield* timeline.advance(until(320_000_000))
        assert.deepInclude(two, { nowNanos: 320_000_000, stop: "time" })
        assert.strictEqual(yield* timeline.origin, 320_000_000)
        assert.deepStrictEqual(seqs([...one.events, ...two.events]), [0, 1, 2, 3, 4])
      })
    ).pipe(Effect.provide(host))
  )

  it.effect("from-now-on-nothing-is-told-of-before-but-what-the-guest-is-in-the-middle-of", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        yield* guest.run({ kinds: ["AgentReady"] })
        const activity = yield* guest.activity
        for (const timeline of [
          yield* lockstepTimeline(guest, activity),
          yield* freeRunningTimeline(guest, activity),
          yield* sharedTimeline(guest, activity).join
        ]) {
          assert.deepStrictEqual(timeline.beginning, activity)
          assert.strictEqual(yield* timeline.origin, 200_000_000)
          assert.deepStrictEqual(yield* timeline.earlier, [])
          assert.deepStrictEqual((yield* timeline.drain).events, [])
        }
        const timeline = yield* lockstepTimeline(guest, activity)
        const { events } = yield* timeline.advance(until(320_000_000))
        assert.strictEqual(events[0]?.seq, activity.nextSeq)
        assert.deepStrictEqual(yield* timeline.earlier, events)
      })
    ).pipe(Effect.provide(host))
  )

  it.effect("a-probe-that-needs-the-guest-does-not-end-an-advance", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const timeline = yield* lockstepTimeline(guest)
        yield* timeline.advance(until(null, "AgentReady"))
        const advancing = yield* Effect.forkChild(timeline.advance(until(null, "ListenerBound")), {
          startImmediately: true
        })
        const { stdout } = yield* timeline.exclusively(guest.exec({ argv: ["echo", "probe"] }))
        assert.strictEqual(new TextDecoder().decode(stdout), "probe\n")
        const { events } = yield* Fiber.join(advancing)
        const tags = events.map(({ _tag }) => _tag)
        assert.include(tags, "ExecExited")
        assert.strictEqual(tags.at(-1), "ListenerBound")
      })
    ).pipe(Effect.provide(host))
  )
})

describe("shared", () => {
  const kinds: ReadonlyArray<GuestEventKind> = [
    "AgentReady",
    "HeartbeatTick",
    "WorkloadPreExec",
    "ListenerBound",
    "GuestIdle"
  ]

  it.live("whoever-watches-beside-it-a-policy-fires-where-it-fires-alone", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 6 }), async (watched) => {
          const alone = (kind: GuestEventKind) =>
            Effect.scoped(
              Effect.gen(function* () {
                const timeline = yield* lockstepTimeline(yield* machine)
                return yield* kindTrigger(kind).await.pipe(Effect.provideService(GuestTimeline, timeline))
              })
            )
          const together = Effect.scoped(
            Effect.gen(function* () {
              const guest = yield* machine
              const shared = sharedTimeline(guest)
              const views = yield* Effect.forEach(watched, (kind) =>
                Effect.gen(function* () {
                  const scope = yield* Scope.make()
                  return { kind, scope, timeline: yield* Scope.provide(shared.join, scope) }
                })
              )
              return yield* Effect.forEach(
                views,
                ({ kind, scope, timeline }) =>
                  kindTrigger(kind).await.pipe(
                    Effect.provideService(GuestTimeline, timeline),
                    Effect.flatMap((firing) => Effect.map(guest.nowNanos, (standsAt) => ({ firing, standsAt }))),
                    Effect.ensuring(Scope.close(scope, Exit.void))
                  ),
                { concurrency: "unbounded" }
              )
            })
          )
          const fired = await Effect.runPromise(Effect.provide(together, host))
          for (const [index, { firing, standsAt }] of fired.entries()) {
            const expected = await Effect.runPromise(Effect.provide(alone(watched[index] ?? "AgentReady"), host))
            assert.deepStrictEqual(firing, expected)
            // Nobody has moved the guest since.
            assert.strictEqual(standsAt, firing.atNanos)
          }
        }),
        { numRuns: 200 }
      )
    )
  )

  it.effect("a-probe-of-one-does-not-end-the-advances-of-the-others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const shared = sharedTimeline(guest)
        const [one, two] = [yield* Scope.make(), yield* Scope.make()]
        const first = yield* Scope.provide(shared.join, one)
        const second = yield* Scope.provide(shared.join, two)
        const advancing = yield* Effect.forEach([first, second], (timeline) =>
          Effect.forkChild(timeline.advance(until(null, "ListenerBound")), { startImmediately: true })
        )
        const { stdout } = yield* first.exclusively(guest.exec({ argv: ["echo", "probe"] }))
        assert.strictEqual(new TextDecoder().decode(stdout), "probe\n")
        for (const fiber of advancing) {
          const { events } = yield* Fiber.join(fiber)
          assert.strictEqual(events.at(-1)?._tag, "ListenerBound")
        }
        yield* Scope.close(one, Exit.void)
        yield* Scope.close(two, Exit.void)
      })
    ).pipe(Effect.provide(host))
  )

  it.effect("each-event-is-read-once-for-each-however-often-the-guest-stops-for-others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const read: Array<number> = []
        const counting: Machine = {
          ...guest,
          eventsSoFar: (seq) =>
            Effect.tap(guest.eventsSoFar(seq), (events) => Effect.sync(() => read.push(...seqs(events))))
        }
        const shared = sharedTimeline(counting)
        const [one, two] = [yield* Scope.make(), yield* Scope.make()]
        const patient = yield* Scope.provide(shared.join, one)
        const busy = yield* Scope.provide(shared.join, two)
        const waiting = yield* Effect.forkChild(patient.advance(until(null, "WorkloadParked", "ListenerBound")), {
          startImmediately: true
        })
        const told: Array<GuestEvent> = []
        while (told.at(-1)?._tag !== "ListenerBound") {
          const { events } = yield* busy.advance(until(null, ...kinds))
          told.push(...events)
        }
        const { events } = yield* Fiber.join(waiting)
        assert.deepStrictEqual(events, told)
        assert.deepStrictEqual(
          read.toSorted((a, b) => a - b),
          [...seqs(told), ...seqs(told)].toSorted((a, b) => a - b)
        )
        yield* Scope.close(one, Exit.void)
        yield* Scope.close(two, Exit.void)
      })
    ).pipe(Effect.provide(host))
  )

  it.effect("who-is-interrupted-does-not-hold-up-the-others", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const shared = sharedTimeline(yield* machine)
        const [one, two] = [yield* Scope.make(), yield* Scope.make()]
        const first = yield* Scope.provide(shared.join, one)
        const second = yield* Scope.provide(shared.join, two)
        const stuck = yield* Effect.forkChild(
          Effect.ensuring(first.advance(until(null, "WorkloadParked")), Scope.close(one, Exit.void)),
          { startImmediately: true }
        )
        const goesOn = yield* Effect.forkChild(second.advance(until(null, "ListenerBound")), { startImmediately: true })
        yield* Fiber.interrupt(stuck)
        const { events } = yield* Fiber.join(goesOn)
        assert.strictEqual(events.at(-1)?._tag, "ListenerBound")
        yield* Scope.close(two, Exit.void)
      })
    ).pipe(Effect.provide(host))
  )
})

describe("free-running", () => {
  it.live("nothing-is-lost-between-an-event-and-the-hold", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const timeline = yield* freeRunningTimeline(guest)
        const { events, stop } = yield* timeline.advance(until(null, "WorkloadPreExec"))
        assert.strictEqual(stop, "event")
        const standsAt = yield* timeline.hold
        assert.isAtLeast(standsAt, 300_000_000)
        const { events: later } = yield* timeline.drain
        assert.deepStrictEqual(seqs([...events, ...later]), seqs(yield* guest.eventsSoFar()))
        const rest = yield* timeline.advance(until(null, "WorkloadParked"))
        assert.strictEqual(rest.stop, "idle")
      })
    ).pipe(Effect.provide(host))
  )

  it.live("a-time-is-reached-and-an-interrupted-wait-leaves-the-guest-running-until-it-is-held", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const timeline = yield* freeRunningTimeline(guest)
        const waiting = yield* Effect.forkChild(timeline.advance(until(null, "WorkloadParked")), {
          startImmediately: true
        })
        yield* Fiber.interrupt(waiting)
        yield* timeline.hold
        const { nowNanos } = yield* timeline.advance(until(1))
        assert.isAtLeast(nowNanos, 1)
      })
    ).pipe(Effect.provide(host))
  )

  it.live("a-pace-that-a-policy-asks-for-later-reaches-the-machine-and-costs-no-event", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const paces: Array<string | undefined> = []
        const scripted = yield* machine
        const guest: Machine = {
          ...scripted,
          run: (limits) => {
            paces.push(limits.pace)
            return scripted.run(limits)
          }
        }
        const timeline = yield* freeRunningTimeline(guest)
        const fast = yield* Effect.forkChild(timeline.advance(until(null, "ListenerBound")), { startImmediately: true })
        yield* Fiber.interrupt(fast)
        // The guest runs on meanwhile: the host has not reached it yet.
        const { events } = yield* timeline.advance({ ...until(null, "ListenerBound"), pace: "realTime" })
        assert.deepStrictEqual(paces, ["asFastAsPossible", "realTime"])
        const told = seqs(events)
        assert.deepStrictEqual(
          told,
          told.map((_, index) => index)
        )
      })
    ).pipe(Effect.provide(Layer.provide(ScriptedVmm.layer({ hostMillisPerRun: 5 }), new MemoryFiles().layer)))
  )
})

describe("freezes side by side", () => {
  it.effect("nobody-thaws-what-another-holds", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const guest = yield* machine
        const sent: Array<string> = []
        const shared = sharedTimeline({
          ...guest,
          agent: {
            ...guest.agent,
            requestFreeze: Effect.sync(() => sent.push("freeze")),
            requestThaw: Effect.sync(() => sent.push("thaw"))
          }
        })
        const one = yield* shared.join
        const leaving = yield* Scope.make()
        const two = yield* Scope.provide(shared.join, leaving)
        yield* one.requestFreeze
        yield* two.requestFreeze
        yield* one.requestThaw
        // Given back once, it is not its own any more.
        yield* one.requestThaw
        assert.deepStrictEqual(sent, ["freeze", "freeze"])
        yield* Scope.close(leaving, Exit.void)
        assert.deepStrictEqual(sent, ["freeze", "freeze", "thaw"])
      })
    ).pipe(Effect.provide(host))
  )
})
