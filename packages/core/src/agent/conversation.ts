/**
 * The one place where the host talks to a guest: it sends, and runs the guest until an answer comes or the time is up.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type { GuestEvent, GuestEventKind, GuestNanos } from "../GuestEvent.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { GuestEnd } from "../GuestEnd.ts"
import type { MachineStop, MachineUntil } from "../Vmm.ts"
import type { AgentPort, AgentRequest } from "./AgentPort.ts"

/** The result of a wait for the guest. */
export type Turn<A> =
  | { readonly _tag: "Settled"; readonly value: A }
  /** The awaited guest time was reached. */
  | { readonly _tag: "Due" }
  /** The guest waits for input that will never come, so the awaited event cannot come. */
  | { readonly _tag: "Idle" }
  /** The guest ended, or another caller paused it. */
  | ({ readonly _tag: "Ended"; readonly atNanos: GuestNanos } & GuestEnd)

/** A conversation with a guest: hears every event from its opening to the end of its scope. */
export interface Conversation {
  /** Sends a request, once there is room for it. */
  readonly send: (request: AgentRequest) => Effect.Effect<void, MachineError>
  /** Runs the guest until the events heard so far give a value. */
  readonly until: <A>(wait: {
    /** The value, from the events heard so far; `undefined` if it is not settled yet. */
    readonly settled: () => A | undefined
    /** Kinds of events that may settle it. */
    readonly kinds: ReadonlyArray<GuestEventKind>
    /** Guest time at which the wait ends. */
    readonly dueNanos: GuestNanos
    /**
     * Runs while nothing is settled, whenever the guest stops, or when an event arrives while another caller runs it.
     */
    readonly meanwhile?: Effect.Effect<void, MachineError>
    /** As in a run. */
    readonly pace?: MachineUntil["pace"]
  }) => Effect.Effect<Turn<A>, MachineError>
}

/** Stops after which no run can follow, or that another caller requested. */
const ends = ["halted", "reset", "fault", "paused", "horizon"] as const
const isEnd = (reason: MachineStop["reason"]): reason is (typeof ends)[number] => ends.some((end) => end === reason)

/** Guest time that a full port is given to take something, and between two tries. */
const patienceNanos = 10e9
const pauseNanos = 1e6

/** Host time after which a wait that is due much later looks again. */
const longestSleepMillis = 3_600_000

/**
 * Sends when there is room; until then, runs the guest. If the guest takes nothing in 10 s of guest time, fails with the
 * refusal, `InputFull`.
 */
export const withRoom = (port: AgentPort, send: Effect.Effect<void, MachineError>): Effect.Effect<void, MachineError> =>
  Effect.catchReason(send, "MachineError", "InputFull", (_reason, full) =>
    Effect.gen(function* () {
      const giveUpAt = (yield* port.nowNanos) + patienceNanos
      while (true) {
        const stop = yield* port.advance({ budgetNanos: pauseNanos }, Effect.sleep("1 millis"))
        const isOver = (stop !== null && isEnd(stop.reason)) || (yield* port.nowNanos) >= giveUpAt
        const sent = yield* Effect.as(send, true).pipe(
          Effect.catchReason("MachineError", "InputFull", () => Effect.succeed(false))
        )
        if (sent) return
        if (isOver) return yield* full
      }
    })
  )

/** Opens a conversation. `hear` gets every event from now on, in order; `over` is called when no more can come. */
export const openConversation = (
  port: AgentPort,
  hear: (event: GuestEvent) => void,
  over: () => void = () => {}
): Effect.Effect<Conversation, never, Scope.Scope> =>
  Effect.gen(function* () {
    const news = makeHeadSignal()
    let fault = ""
    let panic: Extract<GuestEvent, { readonly _tag: "GuestPanicked" }> | null = null
    let lost: MachineError | null = null
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        port.eventsFrom(port.nextSeq()).subscribe({
          next: (event) => {
            if (event._tag === "EngineFault") fault = event.message
            if (event._tag === "GuestPanicked") panic = event
            hear(event)
            news.raise()
          },
          error: (error: MachineError) => {
            lost = error
            news.raise()
            over()
          },
          complete: () => {
            news.raise()
            over()
          }
        })
      ),
      (subscription) => Effect.sync(() => subscription.unsubscribe())
    )
    const until: Conversation["until"] = (wait) =>
      Effect.gen(function* () {
        const settled = () => {
          const value = wait.settled()
          return value === undefined ? null : { _tag: "Settled" as const, value }
        }
        /** While another caller runs the guest: waits for signals raised since `asked`. */
        const heard = Effect.fnUntraced(function* (asked: number) {
          for (let generation = asked; ; generation = news.generation()) {
            if (settled() !== null || panic !== null || lost !== null) return
            const leftNanos = wait.dueNanos - (yield* port.nowNanos)
            if (leftNanos <= 0) return
            // A guest that lives may be silent; its time follows the host's.
            const left = Effect.sleep(Math.min(Math.ceil(leftNanos / 1e6), longestSleepMillis))
            yield* Effect.raceFirst(news.raisedSince(generation), left)
            if (wait.meanwhile !== undefined) return
          }
        })
        while (true) {
          const before = settled()
          if (before !== null) return before
          const generation = news.generation()
          if (wait.meanwhile !== undefined) yield* wait.meanwhile
          const stop = yield* port.advance(
            {
              kinds: [...wait.kinds, "GuestPanicked"],
              atNanos: wait.dueNanos,
              ...(wait.pace === undefined ? {} : { pace: wait.pace })
            },
            heard(generation)
          )
          const after = settled()
          if (after !== null) return after
          if (lost !== null) return yield* Effect.fail<MachineError>(lost)
          const atNanos = yield* port.nowNanos
          if (panic !== null)
            return { _tag: "Ended" as const, how: "panicked" as const, detail: panic.message, atNanos }
          if (stop !== null && isEnd(stop.reason)) {
            return { _tag: "Ended" as const, how: stop.reason, detail: fault, atNanos: stop.atNanos }
          }
          if (stop?.reason === "idle") return { _tag: "Idle" as const }
          if (atNanos >= wait.dueNanos) return { _tag: "Due" as const }
        }
      })
    return { send: (request) => withRoom(port, port.tell(request)), until }
  })
