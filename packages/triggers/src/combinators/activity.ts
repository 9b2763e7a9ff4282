/**
 * The kinds of activity that disturb the calm of a quiesce.
 *
 * @module
 */
import type { GuestEventKind } from "@stillpoint/core"
import { type Duration, Schema } from "effect"
import { eventNamePattern, requireEventKind, requireEventName, requireRate } from "../argument.ts"
import { toGuestNanos } from "../guestDuration.ts"
import { eventKinds } from "../automaton/eventKinds.ts"

/** One kind of activity, as JSON holds it. */
export const Activity = Schema.Union([
  Schema.Struct({ activity: Schema.Literal("busy"), longerThanNanos: Schema.Natural }),
  Schema.Struct({ activity: Schema.Literal("io") }),
  Schema.Struct({ activity: Schema.Literal("dirty"), pagesPerSecond: Schema.Finite.check(Schema.isGreaterThan(0)) }),
  Schema.Struct({ activity: Schema.Literal("connections") }),
  Schema.Struct({
    activity: Schema.Literal("traffic"),
    bytesPerSecond: Schema.Finite.check(Schema.isGreaterThan(0))
  }),
  Schema.Struct({ activity: Schema.Literal("event"), kind: Schema.Literals(eventKinds) }),
  Schema.Struct({ activity: Schema.Literal("custom"), name: Schema.String.check(Schema.isPattern(eventNamePattern)) })
])
export type Activity = typeof Activity.Type

/**
 * The hart executes for a duration without a rest; work of exactly that duration counts, as timers come before events. Shorter work,
 * such as a heartbeat or a kernel timer, is ignored, but a capture is never taken during it. Work in progress when the trigger fires
 * counts until its end, however short.
 *
 * @example
 * ```ts
 * import { busyForLongerThan, onListener, quiesce } from "@stillpoint/triggers"
 *
 * const policy = quiesce(onListener(), { calmFor: "20 millis", activity: [busyForLongerThan("500 micros")] })
 * console.log(policy.name) // quiesce(onListener, 20 ms)
 * ```
 */
export const busyForLongerThan = (duration: Duration.Input): Activity => ({
  activity: "busy",
  longerThanNanos: toGuestNanos("busyForLongerThan", duration)
})

/** A device has a request in flight. A request that settles without a recorded start was in flight until then. */
export const ioInFlight: Activity = { activity: "io" }

/**
 * The guest dirties more pages a second than this between two samples after the firing. The first sample, which includes pages that
 * were dirtied before the firing, is ignored.
 *
 * @example
 * ```ts
 * import { dirtyRateAbove, ioInFlight, onListener, quiesce } from "@stillpoint/triggers"
 *
 * const policy = quiesce(onListener(), { calmFor: "20 millis", activity: [ioInFlight, dirtyRateAbove(2000)] })
 * console.log(policy.name) // quiesce(onListener, 20 ms)
 * ```
 */
export const dirtyRateAbove = (pagesPerSecond: number): Activity => ({
  activity: "dirty",
  pagesPerSecond: requireRate("dirtyRateAbove", pagesPerSecond)
})

/**
 * A TCP connection into or out of the guest is open. Connections that were open before the guest was watched count from the next
 * `ConnectionOpened` or `ConnectionClosed` on, which carry their number; a restored or forked machine begins without any.
 *
 * @example
 * ```ts
 * import { connectionsOpen, defaultActivity, onRequestServed, quiesce } from "@stillpoint/triggers"
 *
 * const policy = quiesce(onRequestServed(3), { calmFor: "20 millis", activity: [...defaultActivity, connectionsOpen] })
 * console.log(policy.name) // quiesce(onRequestServed(3), 20 ms)
 * ```
 */
export const connectionsOpen: Activity = { activity: "connections" }

/**
 * More bytes a second than this pass over the guest's TCP connections, in both directions together, between two samples of dirtied
 * pages (`BootSpec.dirtySampleNanos`). On a machine without sampling, it never counts.
 *
 * @example
 * ```ts
 * import { onConnection, quiesce, trafficAbove } from "@stillpoint/triggers"
 *
 * console.log(quiesce(onConnection(), { calmFor: "20 millis", activity: [trafficAbove(100_000)] }).name)
 * // quiesce(onConnection, 20 ms)
 * ```
 */
export const trafficAbove = (bytesPerSecond: number): Activity => ({
  activity: "traffic",
  bytesPerSecond: requireRate("trafficAbove", bytesPerSecond)
})

/** An event of a kind happens, such as `SerialLine`. */
export const eventHappens = (kind: GuestEventKind): Activity => ({
  activity: "event",
  kind: requireEventKind("eventHappens", kind)
})

/**
 * A user-defined event with a given name happens.
 *
 * @example
 * ```ts
 * import { customHappens, defaultActivity, eventHappens, onListener, quiesce } from "@stillpoint/triggers"
 *
 * const activity = [...defaultActivity, eventHappens("SerialLine"), customHappens("request")]
 * console.log(quiesce(onListener(), { calmFor: "20 millis", activity }).name) // quiesce(onListener, 20 ms)
 * ```
 */
export const customHappens = (name: string): Activity => ({
  activity: "custom",
  name: requireEventName("customHappens", name)
})

/** Busy for longer than 2 ms, I/O in flight, more than 10,000 pages (40 MiB) dirtied a second. */
export const defaultActivity: ReadonlyArray<Activity> = [
  busyForLongerThan("2 millis"),
  ioInFlight,
  dirtyRateAbove(10_000)
]

/** Name of an activity in reports. */
export const activityName = (activity: Activity): string => {
  switch (activity.activity) {
    case "busy":
    case "io":
    case "dirty":
    case "connections":
    case "traffic":
      return activity.activity
    case "event":
      return activity.kind
    case "custom":
      return `Custom ${activity.name}`
  }
}
