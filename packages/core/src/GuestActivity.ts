/**
 * What a guest is in the middle of: what its events so far say together, for whoever has not seen them.
 *
 * @module
 */
import { Schema } from "effect"
import { type GuestEvent, GuestNanos } from "./GuestEvent.ts"

/** What a guest is in the middle of, before one of its events. */
export const GuestActivity = Schema.Struct({
  /** `seq` of the next event. */
  nextSeq: Schema.Natural,
  /** Guest time. */
  atNanos: GuestNanos,
  /** Whether the hart waits for an interrupt: of `GuestIdle` and `GuestBusy`, the first came last. */
  isIdle: Schema.Boolean,
  /** Names of the devices that have a request in flight: `IoStarted` came, and `IoSettled` not yet. */
  devicesInFlight: Schema.Array(Schema.String)
})
export type GuestActivity = typeof GuestActivity.Type

/** Before the first instruction. */
export const noActivity: GuestActivity = { nextSeq: 0, atNanos: 0, isIdle: false, devicesInFlight: [] }

/**
 * What a guest is in the middle of after some more events.
 *
 * @example
 * ```ts
 * import { activityAfter, noActivity } from "@stillpoint/core"
 *
 * const events = [{ _tag: "IoStarted", seq: 0, atNanos: 5, device: "disk" }, { _tag: "GuestIdle", seq: 1, atNanos: 9 }] as const
 * console.log(JSON.stringify(activityAfter(noActivity, events)))
 * // {"nextSeq":2,"atNanos":9,"isIdle":true,"devicesInFlight":["disk"]}
 * ```
 */
export const activityAfter = (before: GuestActivity, events: ReadonlyArray<GuestEvent>): GuestActivity => {
  let { atNanos, isIdle, nextSeq } = before
  const inFlight = new Set(before.devicesInFlight)
  for (const event of events) {
    nextSeq = event.seq + 1
    atNanos = Math.max(atNanos, event.atNanos)
    if (event._tag === "GuestIdle") isIdle = true
    else if (event._tag === "GuestBusy") isIdle = false
    else if (event._tag === "IoStarted") inFlight.add(event.device)
    else if (event._tag === "IoSettled") inFlight.delete(event.device)
  }
  return { nextSeq, atNanos, isIdle, devicesInFlight: [...inFlight] }
}
