/**
 * A guest's activity as parallel lanes: one for each kind of activity, all on the guest's clock.
 *
 * ```text
 * console      ▂▂▆█▂▁  ▁▁            count: events, as many as there were
 * listeners          ▁▁▁▂▂▂▂▂        level: how many at a time
 * processor    ████▆▁▂▁▁▁▁▁          level of 0 or 1: drawn as a share of the time
 * dirty pages  █▅▃▂▁                 sum: of what each event says
 * ```
 *
 * @module
 */
import { activityAfter, type GuestEvent, noActivity, quoted, wordOf } from "@stillpoint/core"

/**
 * The meaning of a lane's points: events, levels that last until the next point, the share of time at level 1, or
 * amounts.
 */
export type LaneShape = "count" | "level" | "share" | "sum"

/** One point of a lane. */
export interface LanePoint {
  readonly atNanos: number
  /** 1 for an event, else the level from then on, or the amount. */
  readonly value: number
  /** The event, as text for the reader. */
  readonly text: string
}

/** Everything of one kind that a guest did. */
export interface Lane {
  readonly id: string
  readonly title: string
  readonly shape: LaneShape
  /** The unit of its values, in the plural. */
  readonly unit: string
  readonly points: ReadonlyArray<LanePoint>
}

/** A single moment outside the lanes. */
export interface Moment {
  readonly atNanos: number
  readonly kind: "guest" | "fired" | "captured" | "trouble"
  readonly text: string
}

const addressOf = ({ address, port, protocol }: { address: string; port: number; protocol: string }): string =>
  `${protocol} ${address.includes(":") ? `[${wordOf(address)}]` : wordOf(address)}:${port}`

const endedAs = ({ code, signal }: { readonly code: number | null; readonly signal: number | null }): string =>
  code === null ? `by signal ${signal}` : `with ${code}`

/** An event in the words of a report. */
const eventInWords = (event: GuestEvent): string => {
  switch (event._tag) {
    case "SerialLine":
    case "SerialText":
      return quoted(event.text)
    case "HeartbeatTick":
      return `heartbeat ${event.count}`
    case "ListenerBound":
      return `listening on ${addressOf(event)}`
    case "ListenerClosed":
      return `no longer listening on ${addressOf(event)}`
    case "UnixListenerBound":
      return `listening on ${wordOf(event.path)}`
    case "UnixListenerClosed":
      return `no longer listening on ${wordOf(event.path)}`
    case "GuestIdle":
      return "idle"
    case "GuestBusy":
      return "busy"
    case "IoStarted":
      return `${wordOf(event.device)} started`
    case "IoSettled":
      return `${wordOf(event.device)} settled`
    case "PagesDirtied":
      return `${event.count} pages written`
    case "ConnectionOpened":
      return `${event.direction} connection opened, guest port ${event.guestPort}, ${event.open} open`
    case "ConnectionClosed":
      return `connection closed, guest port ${event.guestPort}, ${event.open} open`
    case "RequestServed":
      return `request answered, guest port ${event.guestPort}`
    case "NetworkRefused":
      return `refused ${addressOf(event)}: ${event.reason}`
    case "AgentReady":
      return `agent ready (Linux ${wordOf(event.kernelRelease)})`
    case "WorkloadPreExec":
      return `about to execute ${event.argv.map(wordOf).join(" ")}`
    case "WorkloadParked":
      return "workload parked"
    case "WorkloadExited":
      return `workload ended ${endedAs(event)}`
    case "WorkloadFailed":
      return `workload could not be started: ${quoted(event.message)}`
    case "AgentFrozen":
      return "workload frozen"
    case "AgentThawed":
      return "workload thawed"
    case "IdentityApplied":
      return "new identity"
    case "ExecStarted":
      return `command ${event.id} started`
    case "ExecExited":
      return `command ${event.id} ended ${endedAs(event)}`
    case "Custom":
      return `${wordOf(event.name)} ${quoted(JSON.stringify(event.payload))}`
    case "GuestPanicked":
      return `panic: ${quoted(event.message)}`
    case "EngineChosen":
      return `engine ${wordOf(event.engine)}: ${quoted(event.reason)}`
    case "EngineFault":
      return `engine fault: ${quoted(event.message)}`
    default:
      return event._tag
  }
}

type Kinds = ReadonlyArray<GuestEvent["_tag"]>

const counted: ReadonlyArray<Omit<Lane, "points" | "shape"> & { readonly kinds: Kinds }> = [
  { id: "console", title: "Console", unit: "lines", kinds: ["SerialLine", "SerialText"] },
  { id: "heartbeats", title: "Heartbeats", unit: "heartbeats", kinds: ["HeartbeatTick"] }
]
const alsoCounted: typeof counted = [
  {
    id: "network",
    title: "Network",
    unit: "events",
    kinds: ["ConnectionOpened", "ConnectionClosed", "RequestServed", "TrafficPassed", "NetworkRefused"]
  },
  {
    id: "commands",
    title: "Commands",
    unit: "events",
    kinds: ["ExecStarted", "ExecOutput", "ExecExited", "ExecFailed", "HostInput"]
  },
  { id: "custom", title: "Workload's own", unit: "events", kinds: ["Custom"] }
]

const troubles = new Set<string>(["GuestPanicked", "EngineFault", "WorkloadFailed", "DiskFailed", "EventsDropped"])
const momentKinds = new Set<string>([
  ...troubles,
  "EngineChosen",
  "AgentReady",
  "WorkloadPreExec",
  "ListenerBound",
  "UnixListenerBound",
  "WorkloadParked",
  "WorkloadExited",
  "AgentFrozen",
  "AgentThawed",
  "IdentityApplied",
  "GuestHalted",
  "GuestReset"
])

/** Levels after each event that changes the guest's activity. */
const levelsOf = (
  events: ReadonlyArray<GuestEvent>,
  kinds: Kinds,
  level: (activity: typeof noActivity) => number
): ReadonlyArray<LanePoint> => {
  let activity = noActivity
  return events
    .filter(({ _tag }) => kinds.includes(_tag))
    .map((event) => {
      activity = activityAfter(activity, [event])
      return { atNanos: event.atNanos, value: level(activity), text: eventInWords(event) }
    })
}

/** `GuestActivity` does not cover Unix sockets, so they are counted here. */
const listenersOf = (events: ReadonlyArray<GuestEvent>): ReadonlyArray<LanePoint> => {
  const sockets = new Set<string>()
  let activity = noActivity
  return events.flatMap((event) => {
    if (!/^(Unix)?Listener(Bound|Closed)$/.test(event._tag)) return []
    activity = activityAfter(activity, [event])
    if (event._tag === "UnixListenerBound") sockets.add(event.path)
    if (event._tag === "UnixListenerClosed") sockets.delete(event.path)
    const value = activity.openListeners.length + sockets.size
    return [{ atNanos: event.atNanos, value, text: eventInWords(event) }]
  })
}

/** The lanes of a guest, the empty ones among them. */
export const guestLanes = (events: ReadonlyArray<GuestEvent>): ReadonlyArray<Lane> => {
  const count = ({ kinds, ...lane }: (typeof counted)[number]): Lane => ({
    ...lane,
    shape: "count",
    points: events
      .filter(({ _tag }) => kinds.includes(_tag))
      .map((event) => ({ atNanos: event.atNanos, value: 1, text: eventInWords(event) }))
  })
  return [
    ...counted.map(count),
    { id: "listeners", title: "Listeners", shape: "level", unit: "listeners", points: listenersOf(events) },
    {
      id: "processor",
      title: "Processor busy",
      shape: "share",
      unit: "changes",
      points: levelsOf(events, ["GuestIdle", "GuestBusy"], ({ isIdle }) => (isIdle ? 0 : 1))
    },
    {
      id: "io",
      title: "Devices at work",
      shape: "level",
      unit: "devices",
      points: levelsOf(events, ["IoStarted", "IoSettled"], ({ devicesInFlight }) => devicesInFlight.length)
    },
    ...alsoCounted.map(count),
    {
      id: "dirty",
      title: "Pages written",
      shape: "sum",
      unit: "pages",
      points: events.flatMap((event) =>
        event._tag === "PagesDirtied" ? [{ atNanos: event.atNanos, value: event.count, text: eventInWords(event) }] : []
      )
    }
  ]
}

/** The moments that people look for first. */
export const guestMoments = (events: ReadonlyArray<GuestEvent>): ReadonlyArray<Moment> =>
  events
    .filter(({ _tag }) => momentKinds.has(_tag))
    .map((event) => ({
      atNanos: event.atNanos,
      kind: troubles.has(event._tag) ? "trouble" : "guest",
      text: eventInWords(event)
    }))
