/**
 * A machine that runs on while its policy decides: for engines that cannot stop at the instruction that caused an
 * event.
 *
 * @module
 */
import { Effect, Exit, Fiber, type Scope } from "effect"
import type { GuestActivity } from "../GuestActivity.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import type { AdvanceUntil, GuestTimeline, TimelineAdvance } from "../GuestTimeline.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine, MachineStop, MachineUntil } from "../Vmm.ts"
import { eventCursor, isAmong } from "./eventCursor.ts"
import { freezeClaims } from "./freezeClaims.ts"

/** Interval of checks of guest time while a policy waits for a time and nothing happens. */
const lookEvery = "1 millis"

/**
 * The timeline of one policy on a machine that runs from the first advance until it is held.
 *
 * The time between an event and `hold` is the slippage; its events are not lost but returned by the next drain.
 */
export const freeRunningTimeline = (
  machine: Machine,
  beginning: GuestActivity = machine.beginning
): Effect.Effect<GuestTimeline["Service"], never, Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const news = makeHeadSignal()
    const cursor = eventCursor(machine, beginning)
    const frozen = freezeClaims(machine).join()
    let running: Fiber.Fiber<MachineStop, MachineError> | null = null
    let runningPace: MachineUntil["pace"]
    let ended: Exit.Exit<MachineStop, MachineError> | null = null

    yield* Effect.acquireRelease(
      Effect.sync(() => machine.events$.subscribe({ next: news.raise, complete: news.raise, error: news.raise })),
      (subscription) => Effect.sync(() => subscription.unsubscribe())
    )

    const hold = Effect.gen(function* () {
      const fiber = running
      if (fiber !== null) {
        yield* machine.pause
        yield* Fiber.await(fiber)
      }
      // A requested pause is not the end of the guest.
      if (ended !== null && Exit.isSuccess(ended) && ended.value.reason === "paused") ended = null
      return yield* machine.nowNanos
    })

    const start = (until: AdvanceUntil) =>
      Effect.gen(function* () {
        const pace = until.pace ?? "asFastAsPossible"
        if (running !== null && runningPace !== pace) {
          // A run keeps its pace to its end; if the guest itself ended meanwhile, that end counts.
          yield* hold
          if (ended !== null) return
        }
        if (running !== null) return
        ended = null
        runningPace = pace
        running = yield* machine.run({ pace }).pipe(
          Effect.onExit((exit) =>
            Effect.sync(() => {
              ended = exit
              running = null
              news.raise()
            })
          ),
          Effect.forkIn(scope, { startImmediately: true })
        )
      })

    /** Events before `from` were checked before. */
    const reached = (
      until: AdvanceUntil,
      events: ReadonlyArray<GuestEvent>,
      from: number,
      nowNanos: number
    ): MachineStop["reason"] | null => {
      if (isAmong(until.kinds, events, from)) return "event"
      if (until.atNanos !== null && until.atNanos <= nowNanos) return "time"
      return ended !== null && Exit.isSuccess(ended) ? ended.value.reason : null
    }

    const advance = (until: AdvanceUntil): Effect.Effect<TimelineAdvance, MachineError> =>
      Effect.gen(function* () {
        yield* start(until)
        let looked = 0
        while (true) {
          const generation = news.generation()
          // Guest time first, so that the events include everything before it.
          const nowNanos = yield* machine.nowNanos
          const events = yield* cursor.ahead
          const stop = reached(until, events, looked, nowNanos)
          looked = events.length
          if (stop !== null) return { events: yield* cursor.take(nowNanos), nowNanos, stop }
          if (ended !== null && Exit.isFailure(ended)) return yield* Effect.failCause(ended.cause)
          const wait = news.raisedSince(generation)
          yield* until.atNanos === null ? wait : Effect.timeoutOption(wait, lookEvery)
        }
      })

    return {
      mode: "free-running",
      origin: Effect.sync(cursor.originNanos),
      beginning,
      earlier: cursor.earlier,
      nowNanos: machine.nowNanos,
      advance,
      drain: cursor.drain,
      hold,
      requestFreeze: frozen.request,
      requestThaw: frozen.giveBack,
      // The next advance runs the guest.
      exclusively: (effect) => Effect.andThen(hold, effect)
    }
  })
