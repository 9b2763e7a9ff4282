/**
 * The speed of a policy of ten nested combinators on a timeline of a million events, compared with a hand-written loop,
 * XState and RxJS that decide the same from the same event objects; the allocations of a replay; and the speed of reading a
 * recorded timeline, compared with plain `JSON.parse`. Our measurement covers the whole call: `Trigger.replay(policy, {
 * events })`.
 */
import { decodeTimeline, encodeTimeline, type GuestEvent, timelineFormat, timelineVersion } from "@stillpoint/core"
import { Result } from "effect"
import { getHeapStatistics } from "node:v8"
import { filter as rxFilter, from, map, scan, take, takeWhile } from "rxjs"
import { createActor, setup } from "xstate"
import {
  afterGuestTime,
  allOf,
  andThen,
  atHeartbeat,
  firstOf,
  named,
  onCustom,
  onListener,
  onSerialMatch,
  orElseAfter,
  type Policy,
  precedence,
  quiesce,
  Trigger,
  within
} from "@stillpoint/triggers"
import { bustle } from "../packages/triggers/src/testing/undecided.ts"
import { inTurns, measure, type MeasureOptions, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const eventCount = 1_000_000
/** The rounds that do not count are the compiler's, which on a busy host takes its time. */
const often: MeasureOptions = { rounds: 15, warmUps: 10 }

const expected = 3e9 + (eventCount - 1) * 10_000

/** A long boot: heartbeats, console lines, rests; the event that the policy waits for is at the end. */
const events: ReadonlyArray<GuestEvent> = [
  ...bustle(eventCount - 1),
  { _tag: "ListenerBound", seq: eventCount - 1, atNanos: expected, protocol: "tcp", address: "::", port: 8080 }
]

/** Ten nested combinators. They look at heartbeats and lines to the end. */
const policy: Policy = named(
  precedence([
    within(
      firstOf([
        orElseAfter(
          allOf([
            firstOf([
              andThen(
                precedence([
                  quiesce(firstOf([named(onListener({ port: 8080 }), "http")]), { calmFor: 0 }),
                  atHeartbeat(eventCount)
                ]),
                afterGuestTime(0)
              ),
              onSerialMatch("panic")
            ])
          ]),
          "1000 seconds",
          onCustom("never")
        )
      ]),
      "2000 seconds"
    ),
    afterGuestTime("3000 seconds")
  ]),
  "nested"
)

/** The same decision, written by hand. */
const byHand = (timeline: ReadonlyArray<GuestEvent>): number => {
  for (let index = 0; index < timeline.length; index++) {
    const event = timeline[index] as GuestEvent
    if (event.atNanos >= 1000e9) return -1
    switch (event._tag) {
      case "ListenerBound":
        if (event.port === 8080) return event.atNanos
        break
      case "HeartbeatTick":
        if (event.count >= eventCount) return event.atNanos
        break
      case "SerialLine":
        if (event.port === 0 && event.text.includes("panic")) return event.atNanos
        break
      default:
    }
  }
  return -1
}

const withRxjs = (): number => {
  let decided = -1
  from(events)
    .pipe(
      takeWhile((event) => event.atNanos < 1000e9),
      scan((state, event) => ({ event, beats: event._tag === "HeartbeatTick" ? event.count : state.beats }), {
        event: events[0] as GuestEvent,
        beats: 0
      }),
      rxFilter(
        ({ beats, event }) =>
          (event._tag === "ListenerBound" && event.port === 8080) ||
          beats >= eventCount ||
          (event._tag === "SerialLine" && event.port === 0 && event.text.includes("panic"))
      ),
      map(({ event }) => event.atNanos),
      take(1)
    )
    .subscribe((atNanos) => {
      decided = atNanos
    })
  return decided
}

const chart = setup({ types: { events: {} as { readonly type: string; readonly event: GuestEvent } } }).createMachine({
  initial: "waiting",
  states: {
    waiting: {
      on: {
        ListenerBound: {
          guard: ({ event }) => event.event._tag === "ListenerBound" && event.event.port === 8080,
          target: "fired"
        },
        HeartbeatTick: {
          guard: ({ event }) => event.event._tag === "HeartbeatTick" && event.event.count >= eventCount,
          target: "fired"
        },
        SerialLine: {
          guard: ({ event }) => event.event._tag === "SerialLine" && event.event.text.includes("panic"),
          target: "fired"
        }
      }
    },
    fired: { type: "final" }
  }
})

/** XState is given fewer events: it would take a minute for all. */
const xstateEvents = events.slice(-eventCount / 20)
const withXstate = (): number => {
  const actor = createActor(chart).start()
  for (const event of xstateEvents) {
    actor.send({ type: event._tag, event })
    if (actor.getSnapshot().status === "done") return event.atNanos
  }
  return -1
}

const replayed = (): number => {
  const decision = Trigger.replay(policy, { events })
  return Result.isSuccess(decision) ? decision.success.atNanos : -1
}

const check = (decided: number): void => {
  if (decided !== expected) throw new Error(`expected a decision at ${expected} ns, found ${decided}`)
}

/** A run that must decide correctly; its value is events a second. */
const rate = (count: number, run: () => number) => () => {
  const passed = stopwatch()
  check(run())
  return (count * 1000) / passed()
}

const [handOurs, hand] = await measure([rate(eventCount, replayed), rate(eventCount, () => byHand(events))], often)
const [rxOurs, rx] = await measure([rate(eventCount, replayed), rate(eventCount, withRxjs)], often)
const [xOurs, x] = await measure([rate(eventCount, replayed), rate(xstateEvents.length, withXstate)], often)

/** Bytes of the heap that a run takes, at the least of several: others are disturbed by the compiler or the collector. */
const allocated = async (run: () => number): Promise<number> => {
  const [taken] = await inTurns(
    [
      () => {
        const before = getHeapStatistics().used_heap_size
        check(run())
        return getHeapStatistics().used_heap_size - before
      }
    ],
    { rounds: 15 }
  )
  return Math.min(...taken.filter((bytes) => bytes >= 0))
}
const replayBytes = await allocated(replayed)

const decoded = events.slice(-eventCount / 5)
const first = decoded[0]?.seq ?? 0
const bytes = encodeTimeline({
  header: {
    format: timelineFormat,
    version: timelineVersion,
    engine: "generated",
    kernelDigest: null,
    initrdDigest: null,
    configuration: {},
    seed: 0,
    firstSeq: first
  },
  events: decoded,
  end: null
})
const [decodeOurs, parse] = await measure(
  [
    rate(decoded.length, () => Result.getOrThrow(decodeTimeline(bytes)).events.at(-1)?.atNanos ?? -1),
    rate(decoded.length, () => {
      let last = -1
      for (const line of new TextDecoder().decode(bytes).trimEnd().split("\n"))
        last = (JSON.parse(line) as { atNanos?: number }).atNanos ?? last
      return last
    })
  ],
  often
)

const beside = (name: string, value: number, peer: string, peerValue: number) =>
  row(name, "events/s", value, { peer, peerValue, better: "more" })
finish([
  beside("policy-replay/hand-written", handOurs, "a loop written by hand", hand),
  beside("policy-replay/xstate", xOurs, "XState 5 actor", x),
  beside("policy-replay/rxjs", rxOurs, "RxJS 7 operators", rx),
  row("policy-replay/allocated", "bytes/replay", replayBytes),
  beside("timeline-decode", decodeOurs, "JSON.parse a line, unchecked", parse)
])
