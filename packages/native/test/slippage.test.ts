import { assert, describe, layer as withLayer } from "@effect/vitest"
import { freeRunningTimeline, GuestTimeline, lockstepTimeline, type Machine, Vmm } from "@stillpoint/core"
import { onPreExec, Trigger } from "@stillpoint/triggers"
import { Effect } from "effect"
import { layer, linux } from "./guests.ts"

const preExecOn = (timeline: GuestTimeline["Service"]) =>
  Trigger.await(onPreExec()).pipe(Effect.provideService(GuestTimeline, timeline))

const boot = Effect.gen(function* () {
  return yield* (yield* Vmm).boot(yield* linux())
})

/** Guest time that a slow host lets pass before it pauses. */
const heldUpNanos = 1_000_000

/** The machine, on a host that is slow to pause it: guest time advances in between. */
const slowToPause = (machine: Machine): Machine => ({
  ...machine,
  pause: Effect.gen(function* () {
    const askedAt = yield* machine.nowNanos
    while ((yield* machine.nowNanos) < askedAt + heldUpNanos) yield* Effect.promise(() => new Promise(setImmediate))
    yield* machine.pause
  })
})

describe("the guest time between a decision and the guest standing still", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("is-0-in-lockstep", () =>
      Effect.gen(function* () {
        const machine = yield* boot
        const firing = yield* preExecOn(yield* lockstepTimeline(machine))
        assert.strictEqual(firing.slippageNanos, 0)
        assert.strictEqual(yield* machine.nowNanos, firing.atNanos)
        assert.strictEqual((yield* machine.eventsSoFar()).at(-1)?._tag, "WorkloadPreExec")
      })
    )

    it.effect("is-measured-and-recorded-when-the-guest-goes-on", () =>
      Effect.gen(function* () {
        const machine = yield* boot
        const firing = yield* preExecOn(yield* freeRunningTimeline(machine))
        const standsAt = yield* machine.nowNanos
        assert.isAtLeast(firing.slippageNanos ?? -1, 0)
        assert.strictEqual(firing.slippageNanos, standsAt - firing.atNanos)
        // The guest stands: what was measured stays true.
        const digest = yield* machine.digest
        yield* Effect.promise(() => new Promise(setImmediate))
        assert.strictEqual(yield* machine.digest, digest)
        assert.strictEqual(yield* machine.nowNanos, standsAt)
      })
    )

    it.effect("holds-what-a-slow-host-lets-pass", () =>
      Effect.gen(function* () {
        const machine = yield* boot
        const firing = yield* preExecOn(yield* freeRunningTimeline(slowToPause(machine)))
        assert.isAtLeast(firing.slippageNanos ?? -1, heldUpNanos)
        assert.strictEqual(firing.slippageNanos, (yield* machine.nowNanos) - firing.atNanos)
        const cause = (yield* machine.eventsSoFar()).find((event) => event._tag === "WorkloadPreExec")
        assert.isDefined(cause)
        assert.deepStrictEqual(firing.cause._tag === "Event" ? firing.cause.event : null, cause)
      })
    )
  })
})
