/**
 * Where one policy stands in a machine's log.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestEvent } from "../GuestEvent.ts"
import type { TimelineAdvance } from "../GuestTimeline.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine } from "../Vmm.ts"

/** A place in a machine's log that only goes forward. */
export interface EventCursor {
  /** Guest time of the last take. */
  readonly originNanos: () => number
  /** The events that were not taken yet; the cursor stays. */
  readonly ahead: Effect.Effect<ReadonlyArray<GuestEvent>>
  /** The events that were not taken yet; the cursor moves behind them, `nowNanos` is their origin. */
  readonly take: (nowNanos: number) => Effect.Effect<ReadonlyArray<GuestEvent>>
  /** Everything up to now, taken without letting the guest advance. */
  readonly drain: Effect.Effect<TimelineAdvance, MachineError>
}

/** A cursor before a machine's first event. */
export const eventCursor = (machine: Machine): EventCursor => {
  let nextSeq = 0
  let originNanos = 0
  const ahead = Effect.suspend(() => machine.eventsSoFar(nextSeq))
  const take = (nowNanos: number) =>
    Effect.map(ahead, (events) => {
      nextSeq = (events.at(-1)?.seq ?? nextSeq - 1) + 1
      originNanos = nowNanos
      return events
    })
  return {
    originNanos: () => originNanos,
    ahead,
    take,
    drain: Effect.gen(function* () {
      const nowNanos = yield* machine.nowNanos
      return { events: yield* take(nowNanos), nowNanos, stop: "event" } satisfies TimelineAdvance
    })
  }
}
