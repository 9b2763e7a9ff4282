/**
 * Guest events laid out for replay: kinds and times in typed arrays beside the events.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"
import { kindNumber } from "../machine/eventKinds.ts"

/** A timeline that can be replayed many times without looking at an event that no trigger waits for. */
export interface TimelineColumns {
  readonly kinds: Uint8Array
  readonly times: Float64Array
  readonly events: ReadonlyArray<GuestEvent>
}

/** Lays events out. Time that goes back counts as the time before it. */
export const columnsOf = (events: ReadonlyArray<GuestEvent>): TimelineColumns => {
  const kinds = new Uint8Array(events.length)
  const times = new Float64Array(events.length)
  let latest = 0
  for (let index = 0; index < events.length; index++) {
    const event = events[index] as GuestEvent
    if (event.atNanos > latest) latest = event.atNanos
    kinds[index] = kindNumber(event._tag)
    times[index] = latest
  }
  return { kinds, times, events }
}
