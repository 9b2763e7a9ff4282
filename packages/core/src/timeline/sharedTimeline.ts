/**
 * One machine as the timelines of several policies side by side.
 *
 * @module
 */
import { Deferred, Effect, Exit, type Scope, Semaphore } from "effect"
import type { GuestActivity } from "../GuestActivity.ts"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import type { AdvanceUntil, GuestTimeline, TimelineAdvance } from "../GuestTimeline.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine, MachineStop } from "../Vmm.ts"
import { type EventCursor, eventCursor, isAmong } from "./eventCursor.ts"
import { freezeClaims } from "./freezeClaims.ts"
import { machineUntilOf } from "./lockstepTimeline.ts"

interface Participant {
  readonly cursor: EventCursor
  /** Number of events ahead of its cursor that it is known not to wait for. */
  looked: number
  waiting: { readonly until: AdvanceUntil; readonly told: Deferred.Deferred<TimelineAdvance, MachineError> } | null
}

/** Hands out timelines over one machine. */
export interface SharedTimeline {
  /**
   * Joins: from now on the guest runs only while this participant waits in `advance`, like all the others. It leaves with the
   * scope, and may capture between advances, when the guest is stopped.
   */
  readonly join: Effect.Effect<GuestTimeline["Service"], never, Scope.Scope>
}

/**
 * Lets several policies watch one machine in lockstep: the guest runs when all of them wait, until the first condition is met.
 *
 * Everyone must join before the first advances, or miss nothing but see the guest moved meanwhile.
 */
export const sharedTimeline = (machine: Machine, beginning: GuestActivity = machine.beginning): SharedTimeline => {
  const participants = new Set<Participant>()
  const guest = Semaphore.makeUnsafe(1)
  const freezes = freezeClaims(machine)
  let isMoving = false
  let isRunning = false
  let probesWaiting = 0

  const unseen = (
    participant: Participant,
    nowNanos: number
  ): Effect.Effect<ReadonlyArray<GuestEvent>, MachineError> => {
    participant.looked = 0
    return participant.cursor.take(nowNanos)
  }

  const isSatisfied = (
    participant: Participant,
    until: AdvanceUntil,
    nowNanos: number
  ): Effect.Effect<boolean, MachineError> =>
    Effect.map(participant.cursor.ahead, (events) => {
      const { looked } = participant
      participant.looked = events.length
      return (until.atNanos !== null && until.atNanos <= nowNanos) || isAmong(until.kinds, events, looked)
    })

  /** Tells those who are satisfied, or everyone where the guest can go no further. */
  const tell = Effect.fnUntraced(function* (stop: MachineStop["reason"], nowNanos: number) {
    const isEnd = !["event", "time", "budget", "paused"].includes(stop)
    let told = 0
    for (const participant of participants) {
      const { waiting } = participant
      if (waiting === null) continue
      const isDue = yield* isSatisfied(participant, waiting.until, nowNanos)
      if (!isEnd && !isDue) continue
      participant.waiting = null
      told += 1
      yield* Deferred.succeed(waiting.told, { events: yield* unseen(participant, nowNanos), nowNanos, stop })
    }
    return told
  })

  const everyoneWaits = (): boolean =>
    participants.size > 0 && [...participants].every((participant) => participant.waiting !== null)

  /** Runs the guest as far as all participants allow. The last one to wait does it. */
  const move: Effect.Effect<void> = Effect.suspend(() => {
    if (isMoving || !everyoneWaits()) return Effect.void
    isMoving = true
    const kinds = new Set<GuestEventKind>()
    let atNanos: number | null = null
    // Real time wins: a participant waits for something outside the guest.
    const pace = [...participants].some(({ waiting }) => waiting?.until.pace === "realTime")
      ? "realTime"
      : "asFastAsPossible"
    for (const { waiting } of participants) {
      for (const kind of waiting?.until.kinds ?? []) kinds.add(kind)
      const wanted = waiting?.until.atNanos ?? null
      if (wanted !== null) atNanos = atNanos === null ? wanted : Math.min(atNanos, wanted)
    }
    return Effect.gen(function* () {
      const now = yield* machine.nowNanos
      if ((yield* tell("event", now)) > 0) return
      isRunning = true
      const stop = yield* Semaphore.withPermit(
        guest,
        machine.run(machineUntilOf({ kinds: [...kinds], atNanos, pace }))
      ).pipe(
        Effect.ensuring(
          Effect.sync(() => {
            isRunning = false
          })
        )
      )
      // A probe used the guest in between; the next move continues.
      if (stop.reason === "paused" && probesWaiting > 0) return yield* Effect.yieldNow
      yield* tell(stop.reason, stop.atNanos)
    }).pipe(
      Effect.catch((error: MachineError) =>
        Effect.forEach(
          [...participants],
          (participant) => {
            const { waiting } = participant
            participant.waiting = null
            return waiting === null ? Effect.void : Deferred.fail(waiting.told, error)
          },
          { discard: true }
        )
      ),
      Effect.ensuring(
        Effect.sync(() => {
          isMoving = false
        })
      )
    )
  })

  const join = Effect.gen(function* () {
    const participant: Participant = { cursor: eventCursor(machine, beginning), looked: 0, waiting: null }
    participants.add(participant)
    const frozen = freezes.join()
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        participants.delete(participant)
        // The others may have waited only for this one, and for a workload that it had frozen.
        return Effect.andThen(
          Effect.ignore(participants.size > 0 ? frozen.giveBack : Effect.void),
          everyoneWaits() ? Effect.asVoid(Effect.forkDetach(moveAll)) : Effect.void
        )
      })
    )
    const advance = (until: AdvanceUntil): Effect.Effect<TimelineAdvance, MachineError> =>
      Effect.gen(function* () {
        const told = yield* Deferred.make<TimelineAdvance, MachineError>()
        participant.waiting = { until, told }
        participant.looked = 0
        return yield* Effect.andThen(moveAll, Deferred.await(told)).pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => {
              if (!Exit.isSuccess(exit)) participant.waiting = null
            })
          )
        )
      })
    return {
      mode: "lockstep" as const,
      origin: Effect.sync(participant.cursor.originNanos),
      beginning,
      earlier: participant.cursor.earlier,
      nowNanos: machine.nowNanos,
      advance,
      drain: Effect.gen(function* () {
        const nowNanos = yield* machine.nowNanos
        return { events: yield* unseen(participant, nowNanos), nowNanos, stop: "event" as const }
      }),
      hold: machine.nowNanos,
      requestFreeze: frozen.request,
      requestThaw: frozen.giveBack,
      exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
        Effect.acquireUseRelease(
          Effect.sync(() => {
            probesWaiting += 1
          }),
          // A pause while no run is in progress would end the probe's own run.
          () =>
            Effect.andThen(
              Effect.suspend(() => (isRunning ? machine.pause : Effect.void)),
              Semaphore.withPermit(guest, effect)
            ),
          () =>
            Effect.sync(() => {
              probesWaiting -= 1
            })
        )
    }
  })

  /** Moves until a participant has an answer, or one does not wait. */
  const moveAll: Effect.Effect<void> = Effect.suspend(() =>
    isMoving || !everyoneWaits()
      ? Effect.void
      : Effect.andThen(
          move,
          Effect.suspend(() => moveAll)
        )
  )

  return { join }
}
