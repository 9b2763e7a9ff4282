/**
 * The laws of third-party triggers: a trigger does not fail, decides from the timeline alone, and lets the guest advance.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { Policy } from "../Policy.ts"
import { decisionJson } from "./decisions.ts"
import { damaged } from "./timelines.ts"
import { questionsOf, watchHost } from "./watchedHost.ts"
import { type Decision, type LawOptions, triggerLaw, type TriggerLaw, type Triggers } from "./TriggerLaw.ts"

const assertNoDefect = (decision: Decision): void => {
  if (Result.isSuccess(decision)) return
  const { reason } = decision.failure
  assert.ok(reason._tag !== "TriggerDefect", reason._tag === "TriggerDefect" ? reason.message : "")
}

/** Damaged in its order and its events, but not in its time: no guest's goes back. */
const disordered = (timelines: fc.Arbitrary<ReplayedTimeline>): fc.Arbitrary<ReplayedTimeline> =>
  damaged(timelines).map(({ end, events }) => {
    let atNanos = 0
    const inTime = events.map((event) => ({ ...event, atNanos: (atNanos = Math.max(atNanos, event.atNanos)) }))
    return {
      events: inTime,
      end: end === null || end === undefined ? null : { ...end, atNanos: Math.max(end.atNanos, atNanos) }
    }
  })

/** A trigger does not throw, requests no time in the past, and does not wake itself without end, whatever the guest does. */
export const hasNoDefect = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-trigger-has-no-defect", triggers, options, (subject) =>
    fc.property(subject.triggers, subject.timelines, disordered(subject.timelines), (one, line, broken) => {
      assertNoDefect(subject.decide(one, line))
      assertNoDefect(subject.decide(one, broken))
    })
  )

/** Rare values in payloads, one of each kind. */
const extremes: ReadonlyArray<unknown> = [null, -1, 1e308, "", [], {}]

/** Payloads of a hostile workload. */
const hostile: fc.Arbitrary<unknown> = fc.oneof(
  fc.jsonValue(),
  fc.constantFrom<unknown>(...extremes, -0, 2 ** 53, "\u0000\n\u2028", "\ud800", { length: -1 }),
  fc.constantFrom("__proto__", "constructor", "toString").map((key) => JSON.parse(`{"${key}":{"x":1}}`) as unknown)
)

/** A payload with one part of it replaced: of the shape that is expected, but for that. */
const spoiledPart = (payload: unknown, by: unknown, where: number): unknown => {
  if (typeof payload !== "object" || payload === null) return by
  const names = Object.keys(payload)
  const name = names[where % (names.length + 1)]
  if (name === undefined) return by
  const part = spoiledPart(payload[name as keyof object], by, Math.floor(where / (names.length + 1)))
  return Array.isArray(payload) ? payload.with(Number(name), part) : { ...payload, [name]: part }
}

/**
 * A trigger survives any input from a workload: custom events with any payload, and lines with any text, under the names that it
 * listens to.
 */
export const isAttackedByPayloads = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("whatever-a-workload-sends-a-trigger-has-no-defect", triggers, options, (subject) =>
    fc.property(
      subject.triggers,
      subject.timelines,
      fc.array(fc.option(fc.tuple(hostile, fc.nat(1000)), { nil: undefined }), { minLength: 1, maxLength: 8 }),
      fc.nat(1000),
      (one, line, payloads, part) => {
        assertNoDefect(subject.decide(one, line))
        // The same part of all: a trigger may hear but the first.
        for (const by of extremes) {
          const events = line.events.map((event) =>
            event._tag === "Custom" ? { ...event, payload: spoiledPart(event.payload, by, part) as never } : event
          )
          assertNoDefect(subject.decide(one, { ...line, events }))
        }
        const events = line.events.map((event, index) => {
          const [payload, where] = payloads[index % payloads.length] ?? []
          if (where === undefined) return event
          if (event._tag === "Custom") return { ...event, payload: spoiledPart(event.payload, payload, where) as never }
          return event._tag === "SerialLine" && typeof payload === "string" ? { ...event, text: payload } : event
        })
        assertNoDefect(subject.decide(one, { ...line, events }))
      }
    )
  )

/** Maximum wake-ups of a trigger for each event and each millisecond of guest time. */
const mostWakesEach = 100

/** Between events a trigger lets guest time advance: it wakes itself at most a hundred times a millisecond. */
export const restsBetweenEvents = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-trigger-lets-guest-time-go-on", triggers, options, (subject) =>
    fc.property(subject.triggers, subject.timelines, (one, line) => {
      assertRests(one, line)
      subject.decide(one, line)
    })
  )

const assertRests = (one: Policy, line: ReplayedTimeline): void => {
  let step = one.start(0)
  let wakes = 0
  const wakeUpTo = (atNanos: number, events: number): boolean => {
    for (;;) {
      if (step.firings.length > 0 || step.failure !== null) return false
      const wake = step.wakeAtNanos
      if (wake === null || wake > atNanos) return true
      wakes += 1
      const allowed = mostWakesEach * (1 + events + wake / 1e6)
      assert.ok(wakes <= allowed, `woken ${wakes} times by ${wake} ns of guest time and ${events} events`)
      step = one.step(step.state, { _tag: "Time", atNanos: wake })
    }
  }
  for (const [index, event] of line.events.entries()) {
    if (!wakeUpTo(event.atNanos, index)) return
    step = one.step(step.state, { _tag: "Event", event })
  }
  // A second of guest time is as telling as a day, and sooner over.
  wakeUpTo((line.events.at(-1)?.atNanos ?? 0) + 1e9, line.events.length)
}

/** Runs something in a host whose clocks and whose chance are others. */
const inAnotherHost = <A>(millis: number, tickMillis: number, chance: number, run: () => A): A => {
  const { Date: RealDate } = globalThis
  const { random: realRandom } = Math
  const { hrtime: realHrtime, uptime: realUptime } = process
  let ticks = 0
  // Each look at the clock finds a later time, so any measurement with it differs too.
  const now = (): number => millis + tickMillis * ticks++
  class OtherDate extends RealDate {
    constructor(...values: ReadonlyArray<unknown>) {
      super(...((values.length === 0 ? [now()] : values) as [number]))
    }
    static override now(): number {
      return now()
    }
  }
  const hrtime = Object.assign((): [number, number] => [Math.floor(now() / 1e3), 0], {
    bigint: () => BigInt(now()) * 1_000_000n
  })
  try {
    globalThis.Date = OtherDate as DateConstructor
    // On the object itself, which who imports it holds, too.
    Object.defineProperty(performance, "now", { value: now, configurable: true, writable: true })
    process.uptime = () => now() / 1e3
    Math.random = () => (chance + ticks++ * 0.618_033) % 1
    process.hrtime = hrtime as typeof process.hrtime
    return run()
  } finally {
    globalThis.Date = RealDate
    Reflect.deleteProperty(performance, "now")
    process.uptime = realUptime
    Math.random = realRandom
    process.hrtime = realHrtime
  }
}

/**
 * A trigger decides from the timeline alone: not from the host's clock, not from chance, not from memory outside its state.
 * Decided again at another time of another host, and stepped again from any of its states in any order, it does the same. A clock
 * that it has kept in a variable since it was loaded cannot be replaced, so it must not use it at all, nor set a timer of the
 * host's.
 */
export const asksNobodyElse = (triggers: Triggers, options: LawOptions = {}): TriggerLaw => {
  const law = triggerLaw("a-decision-depends-on-nothing-but-the-timeline", triggers, options, (subject) =>
    fc.property(subject.triggers, subject.timelines, (one, line) => {
      const first = decisionJson(inAnotherHost(0, 0, 0, () => subject.decide(one, line)))
      // An odd time, where the first was even, so that a trigger that uses only this is found too.
      const again = decisionJson(inAnotherHost(4.1e12 + 12_345_679, 7_919_003, 0.5, () => subject.decide(one, line)))
      assert.deepEqual(again, first, "decided otherwise at another time, by another chance, or the second time")
      assert.deepEqual(
        questionsOf(() => assertStepsAgain(one, line)),
        [],
        "asked the host while it decided"
      )
    })
  )
  return { ...law, check: watched(law.check) }
}

const watched = <A, E, R>(check: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.acquireUseRelease(
    Effect.sync(watchHost),
    () => check,
    (unwatch) => Effect.sync(unwatch)
  )

const assertStepsAgain = (one: Policy, line: ReplayedTimeline): void => {
  let step = one.start(0)
  const steps = [step]
  for (const event of line.events) {
    if (step.firings.length > 0 || step.failure !== null) break
    step = one.step(step.state, { _tag: "Event", event })
    steps.push(step)
  }
  const told = ({ failure, firings, stopAt, wakeAtNanos }: typeof step): unknown => ({
    firings: firings.map(({ afterSeq, atNanos, trigger }) => ({ afterSeq, atNanos, trigger })),
    failure: failure?.reason._tag ?? null,
    stopAt,
    wakeAtNanos
  })
  for (let index = steps.length - 2; index >= 0; index--) {
    const event = line.events[index]
    const before = steps[index]
    if (event === undefined || before === undefined) continue
    const repeated = one.step(before.state, { _tag: "Event", event })
    assert.deepEqual(
      told(repeated),
      told(steps[index + 1] as typeof step),
      "an old state was stepped, and did otherwise"
    )
  }
}

/** Events of kinds that a trigger is not interested in make no difference to it. */
export const hearsWhatItIsInterestedIn = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("only-what-a-trigger-is-interested-in-matters", triggers, options, (subject) =>
    fc.property(subject.triggers, subject.timelines, (one, line) => {
      const { interest } = one
      const events = line.events.filter((event) => interest.includes(event._tag))
      const end = line.end ?? { atNanos: line.events.at(-1)?.atNanos ?? 0, reason: "time" as const }
      const told = (decision: Decision): unknown =>
        Result.isSuccess(decision)
          ? { atNanos: decision.success.atNanos, cause: decision.success.cause, quiesce: decision.success.quiesce }
          : decision.failure.reason._tag
      const [some, all] = [subject.decide(one, { ...line, events, end }), subject.decide(one, { ...line, end })]
      // A trigger that fires again and again on its own is stopped after a number of times without an event of any kind.
      if ([some, all].some((each) => Result.isFailure(each) && each.failure.reason._tag === "TriggerDefect")) return
      assert.deepEqual(told(some), told(all))
    })
  )
