/**
 * A machine as the timeline of one policy: the guest executes only while the policy waits.
 *
 * @module
 */
import { Effect, Semaphore } from "effect"
import type { GuestActivity } from "../GuestActivity.ts"
import type { AdvanceUntil, GuestTimeline, TimelineAdvance } from "../GuestTimeline.ts"
import type { Machine, MachineUntil } from "../Vmm.ts"
import { eventCursor } from "./eventCursor.ts"
import { freezeClaims } from "./freezeClaims.ts"

/** The limits of an advance as the machine takes them. */
export const machineUntilOf = (until: AdvanceUntil): MachineUntil => ({
  kinds: until.kinds,
  ...(until.atNanos === null ? {} : { atNanos: until.atNanos }),
  ...(until.pace === undefined ? {} : { pace: until.pace })
})

/**
 * Lets one policy advance a machine, from its first event on, or from now on with `yield* machine.activity` as `beginning`. If
 * the log has dropped its first events, the machine can be watched from now on only.
 *
 * A probe that needs the guest (`exclusively`) pauses an advance in progress, which then continues unchanged.
 */
export const lockstepTimeline = (
  machine: Machine,
  beginning: GuestActivity = machine.beginning
): Effect.Effect<GuestTimeline["Service"]> =>
  Effect.gen(function* () {
    const guest = yield* Semaphore.make(1)
    const cursor = eventCursor(machine, beginning)
    const frozen = freezeClaims(machine).join()
    let probesWaiting = 0
    let isAdvancing = false

    const run = (until: MachineUntil) =>
      Effect.suspend(() => {
        isAdvancing = true
        return machine.run(until)
      }).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            isAdvancing = false
          })
        )
      )

    const advance = (until: AdvanceUntil) =>
      Effect.gen(function* () {
        // Earlier events are delivered first, while the guest is stopped.
        const now = yield* machine.nowNanos
        const earlier = yield* cursor.take(now)
        const isDue = until.atNanos !== null && until.atNanos <= now
        if (earlier.length > 0 || isDue) {
          return { events: earlier, nowNanos: now, stop: isDue ? "time" : "event" } satisfies TimelineAdvance
        }
        while (true) {
          const stop = yield* Semaphore.withPermit(guest, run(machineUntilOf(until)))
          if (stop.reason === "paused" && probesWaiting > 0) {
            yield* Effect.yieldNow
            continue
          }
          return {
            events: yield* cursor.take(stop.atNanos),
            nowNanos: stop.atNanos,
            stop: stop.reason
          } satisfies TimelineAdvance
        }
      })

    return {
      mode: "lockstep",
      origin: Effect.sync(cursor.originNanos),
      beginning,
      earlier: cursor.earlier,
      nowNanos: machine.nowNanos,
      advance,
      drain: cursor.drain,
      hold: machine.nowNanos,
      requestFreeze: frozen.request,
      requestThaw: frozen.giveBack,
      exclusively: (effect) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            probesWaiting += 1
          }),
          // A pause while no run is in progress would end the probe's own run.
          () =>
            Effect.andThen(
              Effect.suspend(() => (isAdvancing ? machine.pause : Effect.void)),
              Semaphore.withPermit(guest, effect)
            ),
          () =>
            Effect.sync(() => {
              probesWaiting -= 1
            })
        )
    }
  })
