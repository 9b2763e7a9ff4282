/**
 * Arbitraries for timelines of every kind.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"
import * as fc from "fast-check"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { anyTimeline, realisticTimeline } from "./guestEvents.ts"
import { reactedTimeline } from "./reactiveGuests.ts"

/** Any timeline: as guests make them, frozen and thawed or not, and as none does. */
export const timeline: fc.Arbitrary<ReplayedTimeline> = fc.oneof(realisticTimeline, reactedTimeline, anyTimeline())

/** Timelines with events dropped, repeated, swapped or moved in time, as from a broken recorder. */
export const damaged = (timelines: fc.Arbitrary<ReplayedTimeline>): fc.Arbitrary<ReplayedTimeline> =>
  fc
    .tuple(
      timelines,
      fc.array(fc.tuple(fc.constantFrom("drop", "repeat", "swap", "early", "late"), fc.nat()), { maxLength: 6 })
    )
    .map(([original, damages]) => {
      const events = [...original.events]
      for (const [damage, where] of damages) {
        if (events.length === 0) break
        const index = where % events.length
        const event = events[index] as GuestEvent
        if (damage === "drop") events.splice(index, 1)
        else if (damage === "repeat") events.splice(index, 0, event)
        else if (damage === "swap") events.splice(index, 2, ...events.slice(index, index + 2).reverse())
        else events[index] = { ...event, atNanos: damage === "early" ? 0 : event.atNanos + 300_000_000 }
      }
      return { ...original, events }
    })

/** Any timeline, damaged. */
export const damagedTimeline: fc.Arbitrary<ReplayedTimeline> = damaged(timeline)
