/**
 * Arbitraries for policies: recursive, bounded, shrinking towards single triggers.
 *
 * @module
 */
import type { FiringCause } from "@stillpoint/core"
import { Schema } from "effect"
import * as fc from "fast-check"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onRequestServed } from "../builtin/onRequestServed.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { onSerialText } from "../builtin/onSerialText.ts"
import {
  busyForLongerThan,
  connectionsOpen,
  customHappens,
  dirtyRateAbove,
  eventHappens,
  ioInFlight,
  trafficAbove
} from "../combinators/activity.ts"
import { allOf } from "../combinators/allOf.ts"
import { debounce } from "../combinators/debounce.ts"
import { filter } from "../combinators/filter.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { mapCause } from "../combinators/mapCause.ts"
import { named } from "../combinators/named.ts"
import { orElseAfter } from "../combinators/orElseAfter.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce, type QuiesceOptions } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { andThen } from "../combinators/andThen.ts"
import { atLatest } from "../combinators/atLatest.ts"
import { within } from "../combinators/within.ts"
import { makeRegistry, type Registry } from "../plugin/Registry.ts"
import type { Policy } from "../Policy.ts"
import { PolicyError } from "../PolicyError.ts"
import { consoleLines, customNames, listenerPorts } from "./guestEvents.ts"
import { ShrinkingPolicies } from "./ShrinkingPolicies.ts"

/** Payloads that {@link policyRegistry} knows as those of the event `flushed`. */
const Flushed = Schema.Natural.check(Schema.isGreaterThan(1))

const isOddEvent = (cause: FiringCause): boolean => cause._tag !== "Event" || cause.event.seq % 2 === 1
const asTimer = (cause: FiringCause): FiringCause =>
  cause._tag === "Event" ? { _tag: "Timer", atNanos: cause.event.atNanos, setAtNanos: cause.event.atNanos } : cause

/** Knows every part that generated policies are made of, so that their JSON can be read. */
export const policyRegistry: Registry = makeRegistry({
  predicates: { "odd-event": isOddEvent },
  causeMaps: { "as-timer": asTimer },
  schemas: { flushed: Flushed }
})

/** Durations that generated timelines meet exactly, or miss by a nanosecond. */
export const duration: fc.Arbitrary<bigint> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(1_000_000n, 5_000_000n, 10_000_000n, 50_000_000n, 100_000_000n, 1_000_000_000n)
  },
  { weight: 1, arbitrary: fc.constantFrom(0n, 1n, 49_999_999n, 50_000_001n) }
)

/** A built-in trigger. */
export const builtin: fc.Arbitrary<Policy> = fc.oneof(
  fc.constant(never),
  fc.constant(onPreExec()),
  fc.constant(onPreExec({ console: true })),
  fc.constantFrom(onListener(), ...listenerPorts.map((port) => onListener({ port })), onListener({ protocol: "tcp" })),
  fc.integer({ min: 1, max: 6 }).map((count) => atHeartbeat(count)),
  fc.constant(atHeartbeat(3, { console: true })),
  fc.constantFrom(onConnection(), ...listenerPorts.map((port) => onConnection({ port }))),
  fc.constant(onConnection({ direction: "outward" })),
  fc
    .tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(undefined, ...listenerPorts))
    .map(([count, port]) => onRequestServed(count, port === undefined ? {} : { port })),
  fc.constant(onParked()),
  duration.map(afterGuestTime),
  duration.map(onIdle),
  fc.constantFrom(...consoleLines, /o/, /^r/g).map((pattern) => onSerialMatch(pattern)),
  fc.constantFrom(...consoleLines, /y$/).map((pattern) => onSerialText(pattern)),
  fc.constantFrom(...customNames).map((name) => (name === "flushed" ? onCustom(name, Flushed) : onCustom(name))),
  fc
    .tuple(
      fc.constantFrom(100, 2000, 20_000),
      duration.filter((nanos) => nanos > 0n)
    )
    .map(([rate, window]) => onDirtyRateBelow(rate, window)),
  fc
    .constantFrom("HeartbeatTick" as const, "GuestIdle" as const, "WorkloadExited" as const)
    .map((kind) => onEvent(kind))
)

const activity = fc.uniqueArray(
  fc.constantFrom(
    busyForLongerThan("2 millis"),
    busyForLongerThan(0),
    ioInFlight,
    dirtyRateAbove(10_000),
    connectionsOpen,
    trafficAbove(100_000),
    eventHappens("SerialLine"),
    eventHappens("HeartbeatTick"),
    customHappens("flushed")
  ),
  { maxLength: 5 }
)

/** Options of a quiesce. Not every trigger has room for every calm. */
export const quiesceOptions: fc.Arbitrary<QuiesceOptions> = fc
  .record({
    calmFor: duration,
    spare: fc.oneof(fc.constant("none" as const), duration),
    onDeadline: fc.constantFrom("capture" as const, "abandon" as const, "fail" as const),
    agent: fc.constantFrom("auto" as const, "ask" as const, "none" as const),
    activity
  })
  .map(({ activity, agent, calmFor, onDeadline, spare }) => ({
    calmFor,
    deadline: spare === "none" ? spare : calmFor + spare,
    onDeadline,
    agent,
    activity
  }))

/** The policy under a quiesce, or as it is where the calm does not fit into its hold. */
export const quiescedIfItFits = (policy: Policy, options: QuiesceOptions): Policy => {
  try {
    return quiesce(policy, options)
  } catch (cause) {
    if (cause instanceof PolicyError) return policy
    throw cause
  }
}

/** Combinators that arm a fired trigger again, and triggers that fire on their own. */
const rearming = new Set<unknown>(["debounce", "filter", "repeat"])
const byItself = new Set<unknown>(["atLatest", "afterGuestTime", "orElseAfter", "onIdle", "onDirtyRateBelow"])
const shortestPeriodNanos = 100_000

/**
 * Whether a policy wakes itself more often than every 0.1 ms while nothing happens: it would decide at each nanosecond, and a
 * law over seconds of guest time would take minutes.
 */
const isBusy = (json: unknown, isArmedAgain = false): boolean => {
  if (typeof json !== "object" || json === null) return false
  if (Array.isArray(json)) return json.some((part) => isBusy(part, isArmedAgain))
  const part = json as Readonly<Record<string, unknown>>
  const nanos = Number(part["nanos"] ?? part["windowNanos"] ?? Infinity)
  if (isArmedAgain && byItself.has(part["trigger"]) && nanos < shortestPeriodNanos) return true
  const inner = isArmedAgain || rearming.has(part["trigger"])
  return Object.values(part).some((value) => isBusy(value, inner))
}

/** The constraints of a generated policy. */
export interface PolicyConstraints {
  /** Leave out `quiesce`; false if absent. */
  readonly withoutQuiesce?: boolean
  /** Leave out `repeat`; false if absent. */
  readonly withoutRepeat?: boolean
  /** Leave out triggers that fire when time has passed (`atLatest`); false if absent. */
  readonly withoutTimeout?: boolean
  /** The leaves; {@link builtin} if absent. */
  readonly leaves?: fc.Arbitrary<Policy>
  /** Maximum nesting of combinators; 3 if absent. */
  readonly maxDepth?: number
}

/**
 * A policy of any shape. Shrinks to the smallest part of it that still fails.
 *
 * @example
 * ```ts
 * import { Trigger } from "@stillpoint/triggers"
 * import { policy, timeline } from "@stillpoint/triggers/testing"
 * import * as fc from "fast-check"
 *
 * fc.assert(
 *   fc.property(policy(), timeline, (one, line) => {
 *     const twice = [Trigger.replay(one, line), Trigger.replay(one, line)].map((decision) => JSON.stringify(decision))
 *     return twice[0] === twice[1]
 *   }),
 *   { numRuns: 20 }
 * )
 * ```
 */
export const policy = (constraints: PolicyConstraints = {}): fc.Arbitrary<Policy> => {
  const leaf = constraints.leaves ?? builtin
  const { node } = fc.letrec<{ node: Policy }>((tie) => {
    const inner = tie("node")
    const several = fc.array(inner, { minLength: 1, maxLength: 3 })
    const combinators = [
      several.map(firstOf),
      several.map(precedence),
      several.map(allOf),
      fc.tuple(inner, inner).map(([first, second]) => andThen(first, second)),
      fc.tuple(inner, duration).map(([one, nanos]) => within(one, nanos)),
      ...(constraints.withoutTimeout === true
        ? []
        : [fc.tuple(inner, duration).map(([one, nanos]) => atLatest(one, nanos))]),
      fc.tuple(inner, duration).map(([one, nanos]) => debounce(one, nanos)),
      fc.tuple(inner, duration, inner).map(([one, nanos, other]) => orElseAfter(one, nanos, other)),
      inner.map((one) => filter(one, "odd-event", isOddEvent)),
      inner.map((one) => mapCause(one, "as-timer", asTimer)),
      inner.map((one) => named(one, "named")),
      ...(constraints.withoutRepeat === true
        ? []
        : [fc.tuple(inner, fc.integer({ min: 1, max: 4 })).map(([one, times]) => repeat(one, { times }))]),
      ...(constraints.withoutQuiesce === true
        ? []
        : [
            fc.tuple(inner, quiesceOptions).map(([one, options]) => quiescedIfItFits(one, options)),
            fc
              .tuple(fc.array(inner, { minLength: 2, maxLength: 3 }), quiesceOptions)
              .map(([ones, options]) => precedence(ones.map((one) => quiescedIfItFits(one, options))))
          ])
    ]
    return {
      node: fc.oneof(
        { maxDepth: constraints.maxDepth ?? 3, withCrossShrink: true },
        { weight: 4, arbitrary: leaf },
        {
          weight: 5,
          arbitrary: fc.oneof(...combinators)
        }
      )
    }
  })
  return new ShrinkingPolicies(
    node.filter(({ description }) => !isBusy(description)),
    policyRegistry
  )
}
