import { assert, it } from "@effect/vitest"
import { type FiringCause, type GuestEvent, type GuestEventKind, isSameListener } from "@stillpoint/core"
import { Result } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  type Activity,
  afterGuestTime,
  allOf,
  andThen,
  atHeartbeat,
  debounce,
  defaultActivity,
  filter,
  firstOf,
  mapCause,
  named,
  onConnection,
  onCustom,
  onDirtyRateBelow,
  onEvent,
  onIdle,
  onListener,
  onParked,
  onPreExec,
  onRequestServed,
  onSerialMatch,
  onSerialText,
  orElseAfter,
  type Policy,
  precedence,
  quiesce,
  type QuiesceOptions,
  repeat,
  atLatest,
  Trigger,
  within
} from "../index.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { isNotLater, type Timing, timingOf as timing } from "./decisions.ts"
import { anyTimeline, consoleLines, customNames, listenerPorts } from "./guestEvents.ts"
import { defaultRuns, longestLawMillis } from "./TriggerLaw.ts"
import { builtin, duration, policy, quiesceOptions } from "./policies.ts"
import { timeline } from "./timelines.ts"
import { timelinesFor } from "./timelinesFor.ts"

/*
 * Each trigger and combinator decides what the equation in its docstring says: here it is written once more, over whole
 * timelines, without a machine.
 */

/** When a policy fires. What time alone makes start again and again is refused by name: no equation is about it. */
const timingOf: typeof timing = (trigger, line, options) => {
  const decision = Trigger.replay(trigger, line, options)
  fc.pre(Result.isSuccess(decision) || decision.failure.reason._tag !== "TriggerDefect")
  return timing(trigger, line, options)
}

const nothing: Timing = { fired: null, afterSeq: null }
const onEventAt = ({ atNanos, seq }: GuestEvent): Timing => ({ fired: atNanos, afterSeq: seq })

/** Whether guest time gets to an instant. */
const isReached = ({ end, events }: ReplayedTimeline, atNanos: number): boolean =>
  events.some((event) => event.atNanos >= atNanos) ||
  (end !== null && end !== undefined && (end.reason === "idle" || end.atNanos >= atNanos))

/** A timer: it comes before the events of its nanosecond. */
const onTimerAt = (line: ReplayedTimeline, atNanos: number): Timing =>
  isReached(line, atNanos)
    ? { fired: atNanos, afterSeq: line.events.findLast((event) => event.atNanos < atNanos)?.seq ?? -1 }
    : nothing

/** The rest of a timeline, for a trigger that is armed by a decision. */
const armedBy = (trigger: Policy, line: ReplayedTimeline, { afterSeq, fired }: Timing): Timing => {
  if (fired === null) return nothing
  const events = line.events.filter(({ seq }) => seq > (afterSeq ?? -1))
  const timing = timingOf(trigger, { ...line, events }, { originNanos: fired })
  return timing.afterSeq === -1 ? { ...timing, afterSeq } : timing
}

const isOnSingleEvents = ({ name }: Policy): boolean => !/^(never|after|onIdle|onDirty)/.test(name)
const singles = builtin.filter(isOnSingleEvents)
/** What depends on nothing that happened before its arming. */
const fresh = policy({ leaves: builtin.filter(({ name }) => !name.startsWith("onIdle")), withoutQuiesce: true })

const holds = <Ts extends [unknown, ...Array<unknown>]>(
  name: string,
  arbitraries: { readonly [K in keyof Ts]: fc.Arbitrary<Ts[K]> },
  check: (...values: Ts) => void
): void => {
  const run = () =>
    fc.assert(
      fc.property(fc.tuple(...(arbitraries as unknown as [])) as unknown as fc.Arbitrary<Ts>, (values) =>
        check(...values)
      ),
      { numRuns: defaultRuns() }
    )
  it(name, run, longestLawMillis())
}

const nanosOf = (nanos: bigint): number => Number(nanos)

describe("equations of the built-in triggers", () => {
  const first = (line: ReplayedTimeline, accepts: (event: GuestEvent) => boolean): Timing => {
    const event = line.events.find(accepts)
    return event === undefined ? nothing : onEventAt(event)
  }
  type Case = readonly [trigger: Policy, accepts: (event: GuestEvent) => boolean]
  const cases: fc.Arbitrary<Case> = fc.oneof(
    fc
      .constantFrom<GuestEventKind>("HeartbeatTick", "GuestIdle", "GuestPanicked")
      .map((kind): Case => [onEvent(kind), ({ _tag }) => _tag === kind]),
    fc
      .integer({ min: 1, max: 6 })
      .map((n): Case => [atHeartbeat(n), (event) => event._tag === "HeartbeatTick" && event.count >= n]),
    fc
      .constantFrom(...listenerPorts)
      .map((port): Case => [
        onListener({ port, protocol: "tcp" }),
        (event) => event._tag === "ListenerBound" && event.port === port && event.protocol === "tcp"
      ]),
    fc.constant<Case>([onPreExec(), ({ _tag }) => _tag === "WorkloadPreExec"]),
    fc
      .constantFrom(...listenerPorts)
      .map((port): Case => [
        onConnection({ port }),
        (event) => event._tag === "ConnectionOpened" && event.direction === "inward" && event.guestPort === port
      ]),
    fc.constant<Case>([
      onConnection({ direction: "outward" }),
      (event) => event._tag === "ConnectionOpened" && event.direction === "outward"
    ]),
    fc.constant<Case>([onParked(), ({ _tag }) => _tag === "WorkloadParked"]),
    fc
      .constantFrom(...consoleLines)
      .map((text): Case => [
        onSerialMatch(text),
        (event) => event._tag === "SerialLine" && event.port === 0 && event.text.includes(text)
      ]),
    fc
      .constantFrom(...consoleLines)
      .map((text): Case => [
        onSerialText(text),
        (event) =>
          (event._tag === "SerialLine" || event._tag === "SerialText") && event.port === 0 && event.text.includes(text)
      ]),
    fc.constant<Case>([
      onSerialMatch(/^r/g, { port: 1 }),
      (event) => event._tag === "SerialLine" && event.port === 1 && event.text.startsWith("r")
    ]),
    fc
      .constantFrom(...customNames)
      .map((name): Case => [onCustom(name), (event) => event._tag === "Custom" && event.name === name])
  )
  holds(
    "a-trigger-on-single-events-fires-at-the-first-that-it-accepts",
    [cases, timeline],
    ([trigger, accepts], line) => {
      assert.deepStrictEqual(timingOf(trigger, line), first(line, accepts))
    }
  )

  holds("after-guest-time-fires-when-that-much-has-passed", [duration, timeline], (d, line) => {
    const expected = d === 0n ? { fired: 0, afterSeq: -1 } : onTimerAt(line, nanosOf(d))
    assert.deepStrictEqual(timingOf(afterGuestTime(d), line), expected)
  })

  holds("on-idle-fires-when-the-hart-was-idle-throughout", [duration, timeline], (d, line) => {
    let since: number | null = null
    let expected = nothing
    for (const event of [...line.events, null]) {
      if (since !== null && d > 0n && (event === null || event.atNanos >= since + nanosOf(d))) {
        expected = onTimerAt(line, since + nanosOf(d))
        if (expected.fired !== null) break
      }
      if (event?._tag === "GuestBusy") since = null
      else if (event?._tag === "GuestIdle") {
        since ??= event.atNanos
        if (d === 0n) {
          expected = onEventAt(event)
          break
        }
      }
    }
    assert.deepStrictEqual(timingOf(onIdle(d), line), expected)
  })

  const rates = fc.constantFrom(100, 2000, 20_000)
  const windows = duration.filter((nanos) => nanos > 0n)
  holds("on-dirty-rate-below-fires-after-a-whole-window-below-it", [rates, windows, timeline], (rate, d, line) => {
    const window = nanosOf(d)
    const samples = line.events.flatMap((event) => (event._tag === "PagesDirtied" ? [event] : []))
    const due = [window, ...samples.map(({ atNanos }) => atNanos + window)].sort((a, b) => a - b)
    const isLow = (at: number): boolean => {
      const inside = samples.filter(({ atNanos }) => atNanos > at - window && atNanos < at)
      return inside.reduce((sum, { count }) => sum + count, 0) < (rate * window) / 1e9
    }
    const at = due.find((candidate) => candidate >= window && isLow(candidate))
    assert.deepStrictEqual(timingOf(onDirtyRateBelow(rate, d), line), at === undefined ? nothing : onTimerAt(line, at))
  })
})

describe("equations of the combinators", () => {
  const several = fc.array(policy({ maxDepth: 2, withoutQuiesce: true }), { minLength: 1, maxLength: 3 })
  const earlier = (a: Timing, b: Timing): Timing => (isNotLater(a, b) ? a : b)
  const later = (a: Timing, b: Timing): Timing => (isNotLater(a, b) ? b : a)

  holds("first-of-and-precedence-without-a-quiesce-are-the-earliest", [several, timeline], (ts, line) => {
    const least = ts.map((t) => timingOf(t, line)).reduce(earlier)
    assert.deepStrictEqual(timingOf(firstOf(ts), line), least)
    assert.deepStrictEqual(timingOf(precedence(ts), line), least)
  })

  holds("all-of-is-the-latest", [several, timeline], (ts, line) => {
    assert.deepStrictEqual(timingOf(allOf(ts), line), ts.map((t) => timingOf(t, line)).reduce(later))
  })

  holds("and-then-is-the-second-armed-by-the-first", [fresh, fresh, timeline], (t, u, line) => {
    assert.deepStrictEqual(timingOf(andThen(t, u), line), armedBy(u, line, timingOf(t, line)))
  })

  holds("within-is-the-trigger-before-the-deadline-or-never", [fresh, duration, timeline], (t, d, line) => {
    const timing = timingOf(t, line)
    const isInTime = timing.fired !== null && timing.fired < nanosOf(d)
    assert.deepStrictEqual(timingOf(within(t, d), line), isInTime ? timing : nothing)
  })

  holds("at-latest-is-the-earlier-of-trigger-and-deadline", [fresh, duration, timeline], (t, d, line) => {
    const deadline = timingOf(afterGuestTime(d), line)
    assert.deepStrictEqual(timingOf(atLatest(t, d), line), earlier(timingOf(t, line), deadline))
  })

  holds(
    "or-else-after-is-the-trigger-or-another-armed-by-the-deadline",
    [fresh, duration, fresh, timeline],
    (t, d, u, line) => {
      const timing = timingOf(t, line)
      const isInTime = timing.fired !== null && timing.fired < nanosOf(d)
      const expected = isInTime ? timing : armedBy(u, line, timingOf(afterGuestTime(d), line))
      assert.deepStrictEqual(timingOf(orElseAfter(t, d, u), line), expected)
    }
  )

  /** The firings of a trigger that is armed by each of them again. */
  const chain = (t: Policy, line: ReplayedTimeline): ReadonlyArray<Timing> => {
    const timings: Array<Timing> = []
    for (let at = timingOf(t, line); at.fired !== null; at = armedBy(t, line, at)) timings.push(at)
    return timings
  }

  holds(
    "repeat-arms-the-trigger-by-its-own-firings",
    [singles, fc.integer({ min: 1, max: 5 }), timeline],
    (t, n, line) => {
      const timings = Trigger.replayAll(repeat(t, { times: n }), line).firings.map(({ afterSeq, atNanos }) => ({
        fired: atNanos,
        afterSeq
      }))
      assert.deepStrictEqual(timings, chain(t, line).slice(0, n))
    }
  )

  holds("debounce-fires-once-no-firing-has-followed-for-long-enough", [singles, duration, timeline], (t, d, line) => {
    const timings = chain(t, line)
    const last = timings.find(({ fired }, index) => {
      const next = timings[index + 1]?.fired ?? Infinity
      return next === null || next >= (fired ?? 0) + nanosOf(d)
    })
    const expected =
      d === 0n ? timingOf(t, line) : last === undefined ? nothing : onTimerAt(line, (last.fired ?? 0) + nanosOf(d))
    assert.deepStrictEqual(timingOf(debounce(t, d), line), expected)
  })

  const isEven = (cause: FiringCause): boolean => cause._tag === "Event" && cause.event.seq % 2 === 0

  holds("filter-is-the-first-firing-whose-cause-is-accepted", [singles, timeline], (t, line) => {
    const expected = chain(t, line).find(({ afterSeq }) => (afterSeq ?? 0) % 2 === 0) ?? nothing
    assert.deepStrictEqual(timingOf(filter(t, "even", isEven), line), expected)
  })

  holds("named-and-map-cause-change-what-is-told-and-not-when", [fresh, timeline], (t, line) => {
    const other: FiringCause = { _tag: "Timer", atNanos: 1, setAtNanos: 0 }
    const renamed = Trigger.replay(
      named(
        mapCause(t, "other", () => other),
        "ready"
      ),
      line
    )
    const bare = timingOf(t, line)
    if (Result.isFailure(renamed)) return assert.isNull(bare.fired)
    assert.deepStrictEqual({ fired: renamed.success.atNanos, afterSeq: renamed.success.afterSeq }, bare)
    assert.deepStrictEqual(renamed.success.cause, other)
  })
})

describe("the equation of served requests", () => {
  const asked = fc.record({ count: fc.integer({ min: 1, max: 4 }), port: fc.constantFrom(undefined, ...listenerPorts) })
  const lines = asked.chain(({ count, port }) => {
    const trigger = onRequestServed(count, port === undefined ? {} : { port })
    return fc.tuple(fc.constant({ count, port, trigger }), timelinesFor(trigger))
  })

  holds("on-request-served-is-the-nth-that-matches", [lines], ([{ count, port, trigger }, line]) => {
    const served = line.events.filter(
      (event) => event._tag === "RequestServed" && (port === undefined || event.guestPort === port)
    )
    const nth = served[count - 1]
    assert.deepStrictEqual(timingOf(trigger, line), nth === undefined ? nothing : onEventAt(nth))
  })
})

describe("the equation of quiesce", () => {
  /** No two events share an instant: what comes first at one is a law of its own. */
  const spread = anyTimeline().map((line): ReplayedTimeline => {
    let latest = -1
    const events = line.events.map((event) => ({ ...event, atNanos: (latest = Math.max(latest + 1, event.atNanos)) }))
    const end = line.end === null || line.end === undefined ? null : { ...line.end, atNanos: line.end.atNanos + 100 }
    return { events, end }
  })

  /** Guest time from `from` on, up to `to`. */
  type Span = readonly [from: number, to: number]

  /** Spans throughout which a level, as events change it, is above 0. */
  const spans = (
    line: ReplayedTimeline,
    start: number,
    after: (level: number, event: GuestEvent) => number
  ): ReadonlyArray<Span> => {
    const found: Array<Span> = []
    let level = start
    let since = 0
    for (const event of line.events) {
      const next = after(level, event)
      if (level === 0 && next > 0) since = event.atNanos
      if (level > 0 && next === 0) found.push([since, event.atNanos])
      level = next
    }
    return level > 0 ? [...found, [since, Infinity]] : found
  }

  const isOf = (kind: GuestEventKind, event: GuestEvent): boolean => event._tag === kind

  /** When the guest is active after `t0`: spans, and moments (spans that end where they begin). */
  const activityAfter = (
    line: ReplayedTimeline,
    t0: number,
    activity: ReadonlyArray<Activity>
  ): ReadonlyArray<Span> => {
    const busy = busySpans(line)
    const overlooked = Math.min(...activity.map((one) => (one.activity === "busy" ? one.longerThanNanos : Infinity)))
    return activity.flatMap((one): ReadonlyArray<Span> => {
      switch (one.activity) {
        case "busy":
          return busy
            .filter(([from, to]) => to > t0 && (from <= t0 || to - from >= overlooked))
            .map(([from, to]) => [from <= t0 ? t0 : from + overlooked, to])
        case "io":
          return ioSpans(line)
        case "dirty": {
          const samples = line.events.flatMap((event) =>
            event._tag === "PagesDirtied" && event.atNanos > t0 ? [event] : []
          )
          return samples.flatMap(({ atNanos, count }, index): ReadonlyArray<Span> => {
            const before = samples[index - 1]
            const isHigh = before !== undefined && count * 1e9 > one.pagesPerSecond * (atNanos - before.atNanos)
            return isHigh ? [[atNanos, atNanos]] : []
          })
        }
        case "connections":
          return connectionSpans(line)
        case "traffic":
          return line.events.flatMap((event): ReadonlyArray<Span> => {
            const isHigh =
              event._tag === "TrafficPassed" &&
              (event.bytesIn + event.bytesOut) * 1e9 > one.bytesPerSecond * event.overNanos
            return isHigh ? [[event.atNanos, event.atNanos]] : []
          })
        case "event":
        case "custom":
          return line.events
            .filter((event) =>
              one.activity === "event" ? event._tag === one.kind : event._tag === "Custom" && event.name === one.name
            )
            .map(({ atNanos }) => [atNanos, atNanos])
      }
    })
  }

  /** What settles without having started was in flight until then: a moment of activity. */
  const ioSpans = (line: ReplayedTimeline): ReadonlyArray<Span> => {
    const io = line.events.filter((event) => event._tag === "IoStarted" || event._tag === "IoSettled")
    return [...new Set(io.map(({ device }) => device))].flatMap((device) => {
      const inFlightAfter = (inFlight: number, event: GuestEvent): number =>
        (event._tag === "IoStarted" || event._tag === "IoSettled") && event.device === device
          ? Number(event._tag === "IoStarted")
          : inFlight
      let inFlight = 0
      const strays = line.events.filter((event) => {
        const isStray = event._tag === "IoSettled" && event.device === device && inFlight === 0
        inFlight = inFlightAfter(inFlight, event)
        return isStray
      })
      return [...spans(line, 0, inFlightAfter), ...strays.map(({ atNanos }): Span => [atNanos, atNanos])]
    })
  }

  /** The last one that closes without any having been seen open was until then. */
  const connectionSpans = (line: ReplayedTimeline): ReadonlyArray<Span> => {
    let open = 0
    const strays = line.events.filter((event) => {
      const isStray = event._tag === "ConnectionClosed" && open === 0 && event.open === 0
      open = openAfter(open, event)
      return isStray
    })
    return [...spans(line, 0, openAfter), ...strays.map(({ atNanos }): Span => [atNanos, atNanos])]
  }

  const openAfter = (open: number, event: GuestEvent): number =>
    event._tag === "ConnectionOpened" || event._tag === "ConnectionClosed" ? event.open : open

  const busySpans = (line: ReplayedTimeline): ReadonlyArray<Span> =>
    spans(line, 1, (busy, event) => (isOf("GuestIdle", event) ? 0 : isOf("GuestBusy", event) ? 1 : busy))

  /** While somebody has the workload frozen: what does not run is not calm, for who did not ask for it. */
  const frozenSpans = (line: ReplayedTimeline) =>
    spans(line, 0, (frozen, event) => (isOf("AgentThawed", event) ? 0 : isOf("AgentFrozen", event) ? 1 : frozen))

  const captured = (line: ReplayedTimeline, options: QuiesceOptions, calm: number, limit: number): Timing => {
    const { activity = defaultActivity } = options
    const cause = line.events.find((event) => isOf("ListenerBound", event))
    if (cause === undefined) return nothing
    const t0 = cause.atNanos
    if (calm === 0) return onEventAt(cause)
    const activities = [...activityAfter(line, t0, activity), ...frozenSpans(line)]
    const active = activities.filter(([from, to]) => to > t0 || from > t0)
    const busy = activity.some((one) => one.activity === "busy") ? busySpans(line) : []
    const isCalm = (at: number): boolean =>
      at - calm >= t0 &&
      !active.some(([from, to]) => from < at && (to > at - calm || (from === to && from > at - calm)))
    const isAtRest = (at: number): boolean => !busy.some(([from, to]) => from < at && at < to)
    // Calm is full some time after activity, or after the firing; if the hart is not at rest then, as soon as it is.
    const full = [t0, ...active.map(([, to]) => to)].map((from) => from + calm)
    const rests = busy.map(([, to]) => to)
    const at = [...full, ...rests].sort((a, b) => a - b).find((one) => isCalm(one) && isAtRest(one)) ?? Infinity
    // A timer of the nanosecond at which the hart comes to rest is too early: it is the event that brings the rest.
    const isByEvent = rests.includes(at)
    if (at < t0 + limit || (at === t0 + limit && at < Infinity && !isByEvent)) {
      if (!isByEvent) return onTimerAt(line, at)
      const idle = line.events.find(({ atNanos }) => atNanos === at)
      return idle === undefined ? nothing : onEventAt(idle)
    }
    return limit === Infinity ? nothing : onTimerAt(line, t0 + limit)
  }

  /** The same guests, whose listeners stay. */
  const listening = spread.map((line): ReplayedTimeline => {
    const events = line.events.filter((event) => !isOf("ListenerClosed", event))
    return { ...line, events: events.map((event, seq) => ({ ...event, seq })) }
  })

  holds("quiesce-does-not-settle-on-a-listener-that-is-gone", [spread, quiesceOptions], (line, options) => {
    const decision = Trigger.replay(quiesce(onListener(), { ...options, agent: "none" }), line)
    if (Result.isFailure(decision) || decision.success.quiesce?.verdict !== "settled") return
    const { atNanos, cause } = decision.success
    const bound = cause._tag === "Event" && cause.event._tag === "ListenerBound" ? cause.event : null
    if (bound === null) return
    const isGone = (event: GuestEvent): boolean =>
      event._tag === "ListenerClosed" &&
      event.seq > bound.seq &&
      event.atNanos < atNanos &&
      isSameListener(bound, event)
    assert.isFalse(line.events.some(isGone))
  })

  holds("quiesce-is-the-first-rest-after-the-calm-or-the-deadline", [listening, quiesceOptions], (line, options) => {
    const calm = Number(options.calmFor)
    const limit = options.deadline === "none" ? Infinity : Number(options.deadline)
    const asked = { ...options, agent: "none", onDeadline: "capture" } as const
    assert.deepStrictEqual(timingOf(quiesce(onListener(), asked), line), captured(line, asked, calm, limit))
    const failing = Trigger.replay(quiesce(onListener(), { ...asked, onDeadline: "fail" }), line)
    const abandoning = Trigger.replay(quiesce(onListener(), { ...asked, onDeadline: "abandon" }), line)
    const capturing = Trigger.replay(quiesce(onListener(), asked), line)
    // The three ways to meet a deadline differ in nothing else.
    if (Result.isSuccess(capturing) && capturing.success.quiesce?.verdict === "deadline") {
      assert.strictEqual(Result.isFailure(failing) ? failing.failure.reason._tag : "fired", "QuiesceFailed")
      assert.strictEqual(Result.isFailure(abandoning) ? abandoning.failure.reason._tag : "fired", "Abandoned")
    } else if (Result.isSuccess(capturing)) {
      assert.deepStrictEqual([failing, abandoning].map(Result.isSuccess), [true, true])
    }
  })
})
