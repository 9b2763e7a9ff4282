/**
 * Arbitraries for guest events and timelines.
 *
 * @module
 */
import type { GuestEvent, GuestEventKind } from "@stillpoint/core"
import * as fc from "fast-check"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"

/** A guest event without its place in a timeline. */
export type EventBody = { readonly _tag: GuestEventKind } & Readonly<Record<string, unknown>>

const body = (tag: GuestEventKind, fields: Readonly<Record<string, unknown>> = {}): EventBody => ({
  _tag: tag,
  ...fields
})

/** Ports that listeners of generated timelines bind, and generated policies wait for. */
export const listenerPorts = [80, 443, 8080] as const
/** Names of user-defined events in generated timelines and policies. */
export const customNames = ["warm", "flushed"] as const
/** Lines that consoles of generated timelines show, some of which look like markers. */
export const consoleLines = ["ready", "loading", "workload-pre-exec", "heartbeat counter=3", "error: none"] as const

const listener = fc.record({
  protocol: fc.constantFrom("tcp", "udp"),
  address: fc.constantFrom("0.0.0.0", "::"),
  port: fc.constantFrom(...listenerPorts)
})

/** The places of a connection in generated timelines. */
const places = {
  guestPort: fc.constantFrom(...listenerPorts),
  peerAddress: fc.constant("10.0.2.2"),
  peerPort: fc.constantFrom(10_001, 10_002)
}
const bytes = fc.constantFrom(1, 200, 5_000)

/** Events of a guest's network, by kind. */
export const networkEvents = {
  ConnectionOpened: fc.record({
    direction: fc.constantFrom("inward", "inward", "outward"),
    ...places,
    open: fc.integer({ min: 1, max: 2 })
  }),
  ConnectionClosed: fc.record({
    direction: fc.constantFrom("inward", "inward", "outward"),
    ...places,
    bytesIn: bytes,
    bytesOut: bytes,
    end: fc.constantFrom("closed", "reset"),
    open: fc.constantFrom(0, 0, 1)
  }),
  RequestServed: fc.record({ ...places, requestBytes: bytes, answerBytes: bytes }),
  TrafficPassed: fc.record({ bytesIn: bytes, bytesOut: bytes, overNanos: fc.constant(10_000_000) })
} as const

/** One event of any kind that a policy may wait for, without its place. */
export const eventBody: fc.Arbitrary<EventBody> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(body("GuestIdle"), body("GuestBusy")) },
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }).map((count) => body("HeartbeatTick", { count })) },
  {
    weight: 3,
    arbitrary: fc
      .record({ port: fc.constantFrom(0, 0, 0, 1), text: fc.constantFrom(...consoleLines) })
      .map((line) => body("SerialLine", line))
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ port: fc.constantFrom(0, 0, 0, 1), text: fc.constantFrom(...consoleLines) })
      .map((begun) => body("SerialText", begun))
  },
  { weight: 2, arbitrary: fc.constant(body("WorkloadPreExec", { argv: ["serve"], holdNanos: 100_000_000 })) },
  { weight: 2, arbitrary: listener.map((bound) => body("ListenerBound", bound)) },
  { weight: 2, arbitrary: listener.map((closed) => body("ListenerClosed", closed)) },
  { weight: 2, arbitrary: fc.integer({ min: 0, max: 500 }).map((count) => body("PagesDirtied", { count })) },
  {
    weight: 2,
    arbitrary: fc.constantFrom(body("IoStarted", { device: "entropy" }), body("IoSettled", { device: "entropy" }))
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ name: fc.constantFrom(...customNames), payload: fc.nat(3) })
      .map((custom) => body("Custom", custom))
  },
  ...Object.entries(networkEvents).map(([kind, fields]) => ({
    weight: 1,
    arbitrary: (fields as fc.Arbitrary<Readonly<Record<string, unknown>>>).map((found) =>
      body(kind as keyof typeof networkEvents, found)
    )
  })),
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      body("WorkloadParked"),
      body("WorkloadExited", { code: 0, signal: null }),
      body("WorkloadExited", { code: null, signal: 11 }),
      body("AgentFrozen", { token: 1 }),
      body("AgentThawed", { token: 1 }),
      body("AgentRejected", { request: "Freeze", id: 1, reason: "FreezeFailed", message: "busy" }),
      body("AgentReady", { protocolVersion: 1, kernelRelease: "6.12" }),
      body("GuestPanicked", { message: "not syncing" })
    )
  }
)

/** Bodies at times, sorted and numbered as a machine would. */
export const timelineOf = (
  moments: ReadonlyArray<readonly [atNanos: number, body: EventBody]>,
  end: ReplayedTimeline["end"] = null
): ReplayedTimeline => {
  const ordered = moments.map((moment, index) => [moment, index] as const).sort(([[a], i], [[b], j]) => a - b || i - j)
  const events = ordered.map(
    ([[atNanos, { _tag, ...fields }]], seq) => ({ _tag, seq, atNanos, ...fields }) as unknown as GuestEvent
  )
  return { events, end }
}

const millis = (count: number): number => Math.round(count * 1e6)

/** Gaps that make events share an instant, meet the durations of generated policies exactly, or miss them by a nanosecond. */
export const gap: fc.Arbitrary<number> = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      1,
      millis(1),
      millis(5),
      millis(10),
      millis(50),
      millis(50) - 1,
      millis(50) + 1,
      millis(100)
    )
  },
  { weight: 1, arbitrary: fc.nat(millis(400)) }
)

const ending = fc.oneof(
  fc.constant(null),
  fc.record({ after: gap, reason: fc.constantFrom("time" as const, "idle" as const, "halted" as const) })
)

/** Any events in any order: a policy must survive even what no guest would produce. */
export const anyTimeline = (options: { readonly maxLength?: number } = {}): fc.Arbitrary<ReplayedTimeline> =>
  fc.tuple(fc.array(fc.tuple(gap, eventBody), { maxLength: options.maxLength ?? 25 }), ending).map(([items, end]) => {
    let atNanos = 0
    let open: EventBody | null = null
    const moments = items.map(([after, event]) => {
      // For one of the two protocols, the listener that closes is the one that was bound last, because a random one would rarely
      // match.
      const closes = event._tag === "ListenerClosed" && event["protocol"] === "tcp" ? open : null
      if (event._tag === "ListenerBound") open = event
      return [(atNanos += after), closes === null ? event : { ...closes, _tag: "ListenerClosed" as const }] as const
    })
    return timelineOf(moments, end === null ? null : { atNanos: atNanos + end.after, reason: end.reason })
  })

/** The further steps of a workload. */
const workload = fc.constantFrom(
  "listens",
  "listens-twice",
  "parks",
  "exits",
  "crashes",
  "restarts",
  "hangs",
  "panics",
  "never-starts"
)

/**
 * Timelines as guests make them: a kernel's boot, an agent's heartbeat, a workload that is announced, held, executed, and then
 * listens, parks, exits, crashes, starts again or hangs; with jitter, bursts of output and I/O, and stalls.
 */
export const realisticTimeline: fc.Arbitrary<ReplayedTimeline> = fc
  .record({
    kernelMillis: fc.integer({ min: 20, max: 900 }),
    kernelLines: fc.nat(6),
    heartbeatMillis: fc.constantFrom(50, 100, 100),
    heartbeatsStopAfter: fc.oneof({ weight: 4, arbitrary: fc.constant(1000) }, fc.nat(5)),
    jitterNanos: fc.nat(millis(3)),
    holdMillis: fc.constantFrom(20, 100),
    workload,
    startMillis: fc.nat(300),
    burst: fc.nat(8),
    io: fc.nat(3),
    stallMillis: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(800)),
    dirty: fc.array(fc.nat(400), { maxLength: 12 }),
    frozenAfterMillis: fc.oneof({ weight: 2, arbitrary: fc.constant(-1) }, fc.nat(60)),
    tailMillis: fc.nat(700),
    reason: fc.constantFrom("time" as const, "idle" as const, "halted" as const)
  })
  .map((boot) => {
    const moments: Array<readonly [number, EventBody]> = []
    const at = (atNanos: number, event: EventBody): void => void moments.push([Math.max(0, Math.round(atNanos)), event])
    const jitter = (index: number): number => (boot.jitterNanos * ((index * 7919) % 13)) / 13
    at(0, body("GuestBusy"))
    for (let line = 0; line < boot.kernelLines; line++) {
      at(
        millis((boot.kernelMillis * (line + 1)) / (boot.kernelLines + 1)) + jitter(line),
        body("SerialLine", { port: 0, text: "loading" })
      )
    }
    const ready = millis(boot.kernelMillis)
    at(ready, body("AgentReady", { protocolVersion: 1, kernelRelease: "6.12" }))
    const announced = ready + millis(2) + jitter(1)
    let last = announced
    if (boot.workload !== "never-starts") {
      at(announced, body("WorkloadPreExec", { argv: ["serve"], holdNanos: 100_000_000 }))
      at(announced + 40_000, body("GuestIdle"))
      const go = announced + millis(boot.holdMillis) + 50_000
      at(go, body("GuestBusy"))
      for (let line = 0; line < boot.burst; line++)
        at(go + 10_000 * line, body("SerialLine", { port: 0, text: "loading" }))
      const started = go + millis(boot.startMillis) + millis(boot.stallMillis)
      last = startWorkload(boot.workload, started, at)
      for (let request = 0; request < boot.io; request++) {
        at(started + millis(request), body("IoStarted", { device: "entropy" }))
        at(started + millis(request) + 300_000, body("IoSettled", { device: "entropy" }))
      }
      boot.dirty.forEach((count, sample) => at(go + millis(10 * (sample + 1)), body("PagesDirtied", { count })))
      at(last + 30_000, body("GuestIdle"))
      if (boot.frozenAfterMillis >= 0) at(last + millis(boot.frozenAfterMillis), body("AgentFrozen", { token: 1 }))
    } else at(announced + 30_000, body("GuestIdle"))
    const end = Math.ceil(last) + millis(boot.tailMillis) + 1
    for (let beat = 1; beat <= boot.heartbeatsStopAfter; beat++) {
      const time = ready + millis(boot.heartbeatMillis * beat) + jitter(beat)
      if (time > end) break
      at(time, body("GuestBusy"))
      at(time + 20_000, body("HeartbeatTick", { count: beat }))
      at(time + 120_000, body("GuestIdle"))
    }
    const kept = moments.filter(([time]) => time <= end)
    if (boot.workload === "panics" || boot.reason === "halted") {
      kept.push([
        end,
        boot.workload === "panics" ? body("GuestReset", { reason: 1 }) : body("GuestHalted", { reason: 0 })
      ])
    }
    return timelineOf(kept, { atNanos: end, reason: boot.workload === "panics" ? "reset" : boot.reason })
  })

const startWorkload = (kind: string, started: number, at: (atNanos: number, event: EventBody) => void): number => {
  const listener = (port: number): EventBody => body("ListenerBound", { protocol: "tcp", address: "0.0.0.0", port })
  switch (kind) {
    case "listens":
      at(started, listener(8080))
      return started
    case "listens-twice":
      at(started, listener(80))
      at(started + millis(20), listener(443))
      return started + millis(20)
    case "parks":
      at(started, body("WorkloadParked"))
      return started
    case "exits":
      at(started, body("WorkloadExited", { code: 0, signal: null }))
      return started
    case "crashes":
      at(started, body("WorkloadExited", { code: null, signal: 11 }))
      return started
    case "restarts":
      at(started, body("WorkloadExited", { code: 1, signal: null }))
      at(started + millis(5), body("WorkloadPreExec", { argv: ["serve"], holdNanos: 100_000_000 }))
      at(started + millis(130), listener(8080))
      return started + millis(130)
    case "panics":
      at(started, body("GuestPanicked", { message: "not syncing: attempted to kill init" }))
      return started
    default:
      return started
  }
}
