/**
 * How a law of triggers is checked and reported.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { Firing, TriggerError, TriggerReason } from "@stillpoint/core"
import type { Law } from "@stillpoint/core/testing"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { replay, type ReplayedTimeline, type ReplayOptions } from "../deciding/replayPolicy.ts"
import type { Heard } from "../Heard.ts"
import type { Registry } from "../plugin/Registry.ts"
import { Policy } from "../Policy.ts"
import { type Timing, timingFrom } from "./decisions.ts"
import { timelinesFor } from "./timelinesFor.ts"
import { timeline } from "./timelines.ts"
import { WakeBudget } from "./WakeBudget.ts"

/** Options of checking a law. */
export interface LawOptions {
  /**
   * Timelines to decide on. If absent: for one trigger {@link timelinesFor} it, of the events that it hears; for many,
   * {@link timeline}, generated ones of all kinds.
   */
  readonly timelines?: fc.Arbitrary<ReplayedTimeline>
  /** Number of runs; the environment variable `STILLPOINT_RUNS`, or 1,000, if absent. */
  readonly runs?: number
  /** To repeat a failure: the seed that it reported. */
  readonly seed?: number
  /**
   * The registry of the trigger's parts: its JSON is read back with it, and timelines contain the events that the parts wait for.
   */
  readonly registry?: Registry
  /** Events that matter to the trigger, where it does not say so itself. */
  readonly hears?: ReadonlyArray<Heard>
}

/** The coverage of a checked law. */
export interface LawReport {
  /** Number of decisions of the trigger itself, not counting combinations that contain it. */
  readonly decided: number
  /** Number of firings among them. */
  readonly fired: number
  /** Number of timelines: fewer than requested, but at least fifty, if the trigger woke itself very often. */
  readonly timelines: number
}

/**
 * A law of triggers: its check tells how often the trigger fired, and fails where it never did. It fails by name, too, on a trigger
 * that has itself woken so often that the law would take hours.
 */
export type TriggerLaw = Law<never, LawReport>

/** The subject of a law, and the means to decide on it. */
export interface LawSubject {
  readonly triggers: fc.Arbitrary<Policy>
  readonly timelines: fc.Arbitrary<ReplayedTimeline>
  /** Decides, and counts the decisions of one of `triggers`, since a law decides on each alone. */
  readonly decide: (trigger: Policy, timeline: ReplayedTimeline, options?: ReplayOptions) => Decision
}

/** A decision, or why there is none. */
export type Decision = Result.Result<Firing, TriggerError>

/**
 * Runs of each law, if not said otherwise: the environment variable `STILLPOINT_RUNS`, or 1,000. For a million of each:
 * `STILLPOINT_RUNS=1000000 vitest run laws`.
 */
export const defaultRuns = (): number => Number(process.env["STILLPOINT_RUNS"] ?? 1000)

/**
 * The time after which a law counts as hung, for a test runner, in milliseconds. It is no measure of a law's speed: a thousand
 * runs take about a second on an idle machine, a million (`STILLPOINT_RUNS=1000000`) some minutes.
 */
export const longestLawMillis = (runs: number = defaultRuns()): number => Math.max(600_000, 60 * runs)

/** One trigger, or any that an arbitrary makes. */
export type Triggers = Policy | fc.Arbitrary<Policy>

/** A law from a property over triggers and timelines. */
export const triggerLaw = (
  name: string,
  triggers: Triggers,
  options: LawOptions,
  make: (subject: LawSubject) => fc.IRawProperty<unknown>
): TriggerLaw => ({
  name,
  check: Effect.promise(async () => {
    let decided = 0
    let fired = 0
    // A policy that a law puts beside the trigger, or around it, fires also where the trigger never does.
    const subjects = new WeakSet<Policy>()
    let isAboutSubjects = false
    const asSubject = (trigger: Policy): Policy => {
      const subject = budget.counted(trigger)
      subjects.add(subject)
      isAboutSubjects = true
      return subject
    }
    const decide: LawSubject["decide"] = (trigger, line, how) => {
      const decision = replay(trigger, line, how)
      if (isAboutSubjects && !subjects.has(trigger)) return decision
      decided += 1
      if (Result.isSuccess(decision)) fired += 1
      return decision
    }
    const numRuns = options.runs ?? defaultRuns()
    const budget = new WakeBudget(numRuns)
    const timelines = options.timelines ?? (triggers instanceof Policy ? timelinesFor(triggers, options) : timeline)
    const property = make({
      triggers: triggers instanceof Policy ? fc.constant(triggers).map(asSubject) : triggers.map(asSubject),
      timelines,
      decide
    })
    try {
      await fc.assert(budget.bounded(property), {
        numRuns,
        ...(options.seed === undefined ? {} : { seed: options.seed })
      })
    } catch (cause) {
      // The case at which the budget ended was shrunk, and does not concern the law.
      throw budget.failure ?? cause
    }
    if (fired === 0 && numRuns > 0 && !(triggers instanceof Policy && isNever(triggers)))
      assert.fail(heldOfNothing(triggers instanceof Policy ? triggers.name : "a generated trigger", decided))
    return { decided, fired, timelines: budget.timelines }
  })
})

const isNever = ({ description }: Policy): boolean =>
  typeof description === "object" &&
  description !== null &&
  "trigger" in description &&
  description["trigger"] === "never"

const heldOfNothing = (trigger: string, decided: number): string =>
  `expected ${trigger} to fire on some timelines, found that it fired on none of ${decided}: a law that holds of nothing says ` +
  "nothing. Say with `hears` what it hears: names, ports, payload schemas, text"

const hardReasons: ReadonlySet<TriggerReason["_tag"]> = new Set([
  "QuiesceFailed",
  "HoldTooShort",
  "ProbeFailed",
  "TriggerDefect"
])

/** A part that is to fail where it does not come true ends the whole policy: then nothing else in it decides. */
export const isHard = (decision: Decision): boolean =>
  Result.isFailure(decision) && hardReasons.has(decision.failure.reason._tag)

/** A decision without the parts that depend on how the policy was composed. */
export const summary = (decision: Decision): unknown =>
  Result.isSuccess(decision)
    ? {
        atNanos: decision.success.atNanos,
        afterSeq: decision.success.afterSeq,
        trigger: decision.success.trigger,
        cause: decision.success.cause
      }
    : { failed: isHard(decision) ? decision.failure.reason._tag : "no firing" }

/** The time at which a trigger fires, as a law decides it. */
export const timing =
  (decide: LawSubject["decide"]) =>
  (trigger: Policy, line: ReplayedTimeline, options?: ReplayOptions): Timing =>
    timingFrom(decide(trigger, line, options))
