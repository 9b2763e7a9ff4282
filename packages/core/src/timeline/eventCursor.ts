/**
 * The position of one policy in a machine's log.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestActivity } from "../GuestActivity.ts"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import type { TimelineAdvance } from "../GuestTimeline.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine } from "../Vmm.ts"

/** A place in a machine's log that only goes forward. */
export interface EventCursor {
  /** Guest time of the last take. */
  readonly originNanos: () => number
  /** The events that were taken before. */
  readonly earlier: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** The events that were not taken yet, in an array that grows until they are; the cursor stays. */
  readonly ahead: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** The events that were not taken yet; the cursor moves behind them, `nowNanos` is their origin. */
  readonly take: (nowNanos: number) => Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
  /** Everything up to now, taken without letting the guest advance. */
  readonly drain: Effect.Effect<TimelineAdvance, MachineError>
}

/**
 * A cursor before a machine's first event, or where its guest was in the middle of something. It reads each event of the log once,
 * however often it looks ahead.
 */
export const eventCursor = (machine: Machine, beginning: GuestActivity = machine.beginning): EventCursor => {
  const firstSeq = beginning.nextSeq
  let unseenSeq = firstSeq
  let originNanos = beginning.atNanos
  let takenSeq = firstSeq
  let seen: Array<GuestEvent> = []
  const ahead = Effect.map(
    Effect.suspend(() => machine.eventsSoFar(unseenSeq)),
    (events): ReadonlyArray<GuestEvent> => {
      // Another reader may have advanced the cursor meanwhile.
      for (const event of events) if (event.seq >= unseenSeq) seen.push(event)
      unseenSeq = Math.max(unseenSeq, (events.at(-1)?.seq ?? -1) + 1)
      return seen
    }
  )
  const take = (nowNanos: number) =>
    Effect.map(ahead, (events) => {
      seen = []
      takenSeq = unseenSeq
      originNanos = nowNanos
      return events
    })
  return {
    originNanos: () => originNanos,
    earlier: Effect.map(
      Effect.suspend(() => (takenSeq === firstSeq ? Effect.succeed([]) : machine.eventsSoFar(firstSeq))),
      (events) => events.filter(({ seq }) => seq < takenSeq)
    ),
    ahead,
    take,
    drain: Effect.gen(function* () {
      const nowNanos = yield* machine.nowNanos
      return { events: yield* take(nowNanos), nowNanos, stop: "event" } satisfies TimelineAdvance
    })
  }
}

/** Whether one of some events, from the `from`-th on, is of one of the kinds; earlier ones were checked before. */
export const isAmong = (
  kinds: ReadonlyArray<GuestEventKind>,
  events: ReadonlyArray<GuestEvent>,
  from: number
): boolean => {
  for (let index = from; index < events.length; index++) {
    const event = events[index]
    if (event !== undefined && kinds.includes(event._tag)) return true
  }
  return false
}
