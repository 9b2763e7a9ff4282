/**
 * The guest's present activity, derived from its events, for a reader that has not seen them.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { guestEventFields } from "./contract/contract.ts"
import { type GuestEvent, type GuestEventOf, GuestNanos } from "./GuestEvent.ts"

/**
 * Maximum number of open listeners that are remembered; further ones are ignored. The machine has the same bound
 * (`vmm/src/machine/open_listeners.rs`).
 */
export const mostOpenListeners = 1024

/** Whether two events are about the same listener. */
export const isSameListener = (
  one: GuestEventOf<"ListenerBound" | "ListenerClosed">,
  other: GuestEventOf<"ListenerBound" | "ListenerClosed">
): boolean => one.protocol === other.protocol && one.address === other.address && one.port === other.port

/** The open listeners after one more event, as they were announced, oldest first. */
export const openListenersAfter = (
  before: ReadonlyArray<GuestEventOf<"ListenerBound">>,
  event: GuestEvent
): ReadonlyArray<GuestEventOf<"ListenerBound">> => {
  if (event._tag === "ListenerClosed") return before.filter((bound) => !isSameListener(bound, event))
  if (event._tag !== "ListenerBound" || before.length >= mostOpenListeners) return before
  return before.some((bound) => isSameListener(bound, event)) ? before : [...before, event]
}

/** A guest's activity before one of its events. */
export const GuestActivity = Schema.Struct({
  /** `seq` of the next event. */
  nextSeq: Schema.Natural,
  /** Guest time. */
  atNanos: GuestNanos,
  /** Whether the hart waits for an interrupt: the last of `GuestIdle` and `GuestBusy` was `GuestIdle`. */
  isIdle: Schema.Boolean,
  /**
   * Whether the workload is frozen: the last of `AgentFrozen` and `AgentThawed` was `AgentFrozen`. `false` in recordings without
   * this field.
   */
  isFrozen: Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false))),
  /** Names of the devices that have a request in flight: `IoStarted` came, and `IoSettled` not yet. */
  devicesInFlight: Schema.Array(Schema.String),
  /**
   * Open listeners as they were announced, oldest first, at most 1024: those with a `ListenerBound` and no `ListenerClosed`.
   * Empty in recordings without this field.
   */
  openListeners: Schema.Array(Schema.TaggedStruct("ListenerBound", guestEventFields.ListenerBound)).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed([]))
  ),
  /**
   * Number of open TCP connections, from the last `ConnectionOpened` or `ConnectionClosed`. 0 in recordings without this field.
   */
  connectionsOpen: Schema.Natural.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0)))
})
export type GuestActivity = typeof GuestActivity.Type

/** Before the first instruction. */
export const noActivity: GuestActivity = {
  nextSeq: 0,
  atNanos: 0,
  isIdle: false,
  isFrozen: false,
  devicesInFlight: [],
  openListeners: [],
  connectionsOpen: 0
}

/**
 * A guest's activity after some more events.
 *
 * @example
 * ```ts
 * import { activityAfter, noActivity } from "@stillpoint/core"
 *
 * const events = [{ _tag: "IoStarted", seq: 0, atNanos: 5, device: "disk" }, { _tag: "GuestIdle", seq: 1, atNanos: 9 }] as const
 * console.log(JSON.stringify(activityAfter(noActivity, events)))
 * // {"nextSeq":2,"atNanos":9,"isIdle":true,"isFrozen":false,"devicesInFlight":["disk"],"openListeners":[],"connectionsOpen":0}
 * ```
 */
export const activityAfter = (before: GuestActivity, events: ReadonlyArray<GuestEvent>): GuestActivity => {
  let { atNanos, connectionsOpen, isFrozen, isIdle, nextSeq, openListeners } = before
  const inFlight = new Set(before.devicesInFlight)
  for (const event of events) {
    nextSeq = event.seq + 1
    atNanos = Math.max(atNanos, event.atNanos)
    if (event._tag === "GuestIdle") isIdle = true
    else if (event._tag === "GuestBusy") isIdle = false
    else if (event._tag === "AgentFrozen") isFrozen = true
    else if (event._tag === "AgentThawed") isFrozen = false
    else if (event._tag === "IoStarted") inFlight.add(event.device)
    else if (event._tag === "IoSettled") inFlight.delete(event.device)
    else if (event._tag === "ConnectionOpened" || event._tag === "ConnectionClosed") connectionsOpen = event.open
    else openListeners = openListenersAfter(openListeners, event)
  }
  return { nextSeq, atNanos, isIdle, isFrozen, devicesInFlight: [...inFlight], openListeners, connectionsOpen }
}
