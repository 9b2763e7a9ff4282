/**
 * Machines whose guests react, and what policies decide on them.
 *
 * @module
 */
import {
  activityAfter,
  type Firing,
  type GuestActivity,
  type GuestEvent,
  GuestTimeline,
  type Machine,
  type MachineError,
  noActivity,
  replayMachine,
  sharedTimeline,
  type TriggerError,
  type TriggerSignal
} from "@stillpoint/core"
import { Effect, Exit, type Result, Scope, Stream } from "effect"
import { Observable, Subject } from "rxjs"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Policy } from "../Policy.ts"
import { asRecording, decisionOn } from "./liveDecision.ts"
import { LivingGuest, type ReactiveGuest } from "./ReactiveGuest.ts"

/**
 * A machine over a guest that reacts. Beside running it, one can ask it to freeze, to thaw and to let go, and fork it; it has no
 * memory to capture and executes no commands.
 */
export const reactingMachine = Effect.fn("reactingMachine")(function* (
  guest: LivingGuest,
  beginning: GuestActivity = noActivity
) {
  const nothing = yield* replayMachine(asRecording({ events: [] }))
  const live = new Subject<GuestEvent>()
  let isPaused = false
  guest.onEvent = (event) => live.next(event)
  yield* Effect.addFinalizer(() => Effect.sync(() => live.complete()))
  const eventsFrom = (seq: number): Observable<GuestEvent> =>
    new Observable((subscriber) => {
      for (const event of guest.events) if (event.seq >= seq) subscriber.next(event)
      return live.subscribe(subscriber)
    })
  const activity = (): GuestActivity => ({ ...activityAfter(beginning, guest.events), atNanos: guest.nowNanos })
  const machine: Machine = {
    ...nothing,
    id: "reacting",
    engine: "reacting",
    beginning,
    activity: Effect.sync(activity),
    nowNanos: Effect.sync(() => guest.nowNanos),
    events$: eventsFrom(0),
    eventsFrom,
    eventsSoFar: (seq = 0, most) => Effect.sync(() => guest.events.slice(seq, most === undefined ? most : seq + most)),
    run: (until) =>
      Effect.suspend(() => {
        isPaused = false
        return Effect.yieldNow
      }).pipe(
        Effect.map(() =>
          isPaused ? { reason: "paused" as const, seq: null, atNanos: guest.nowNanos } : guest.run(until)
        )
      ),
    pause: Effect.sync(() => {
      isPaused = true
    }),
    go: Effect.sync(() => guest.go()),
    agent: {
      ...nothing.agent,
      go: Effect.sync(() => guest.go()),
      requestFreeze: Effect.sync(() => guest.request("freeze")),
      requestThaw: Effect.sync(() => guest.request("thaw"))
    },
    fork: Effect.suspend((): Machine["fork"] => reactingMachine(guest.copy(), activity()))
  }
  return machine
})

/** The decision of a policy on a guest that reacts to it. */
export interface Reaction {
  readonly decision: Result.Result<Firing, TriggerError>
  readonly signals: ReadonlyArray<TriggerSignal>
  /** The guest as the decision found it. */
  readonly guest: LivingGuest
  /** The guest's events up to the decision. */
  readonly timeline: ReplayedTimeline
}

/** A policy's first decision, in lockstep with a guest that reacts. */
export const decideReacting = (policy: Policy, guest: ReactiveGuest): Effect.Effect<Reaction, MachineError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const living = new LivingGuest(guest)
      const machine = yield* reactingMachine(living)
      const { decision, signals } = yield* decisionOn(policy, machine)
      return { decision, signals, guest: living, timeline: living.timeline }
    })
  )

/** The decisions of one of several policies: its firings, and why there was no further one, if it is over. */
export interface Decisions {
  readonly firings: ReadonlyArray<Found>
  readonly end: TriggerError | null
}

/** One firing, and the guest as it found it. */
export interface Found {
  readonly firing: Firing
  readonly frozenSinceNanos: number | null
  /** Number of steps that the workload had done. */
  readonly stepsDone: number
  readonly hasStarted: boolean
  /** Whether the listener that caused it is still open; `null` if the cause was not a listener. */
  readonly isListening: boolean | null
}

const find = (guest: LivingGuest, firing: Firing): Found => ({
  firing,
  frozenSinceNanos: guest.frozenSinceNanos,
  stepsDone: guest.stepsDone,
  hasStarted: guest.hasStarted,
  isListening:
    firing.cause._tag === "Event" && firing.cause.event._tag === "ListenerBound"
      ? guest.isListening(firing.cause.event)
      : null
})

/**
 * Every firing of policies that watch one guest side by side, at most `limit` of each; each captures nothing, and continues.
 */
export const decideBeside = (
  policies: ReadonlyArray<Policy>,
  guest: ReactiveGuest,
  limit = 50
): Effect.Effect<{ readonly decided: ReadonlyArray<Decisions>; readonly guest: LivingGuest }, MachineError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const living = new LivingGuest(guest)
      const shared = sharedTimeline(yield* reactingMachine(living))
      const joined = yield* Effect.forEach(policies, (policy) =>
        Effect.gen(function* () {
          const scope = yield* Scope.make()
          return { policy, scope, service: yield* Scope.provide(shared.join, scope) }
        })
      )
      const decided = yield* Effect.forEach(
        joined,
        ({ policy, scope, service }) =>
          Effect.gen(function* () {
            const firings: Array<Found> = []
            const end = yield* policy.firings.pipe(
              Stream.take(limit),
              Stream.runForEach((firing) => Effect.sync(() => void firings.push(find(living, firing)))),
              Effect.as(null),
              Effect.catchTag("TriggerError", (error) => Effect.succeed(error)),
              Effect.provideService(GuestTimeline, service),
              Effect.ensuring(Scope.close(scope, Exit.void))
            )
            return { firings, end }
          }),
        { concurrency: "unbounded" }
      )
      return { decided, guest: living }
    })
  )
