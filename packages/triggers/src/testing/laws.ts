/**
 * What must hold of every trigger, as properties that a test runner of any kind can check.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { Firing, GuestEvent, TriggerError, TriggerReason } from "@stillpoint/core"
import type { Law } from "@stillpoint/core/testing"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { never } from "../builtin/never.ts"
import { onListener } from "../builtin/onListener.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { explain } from "../explaining/explain.ts"
import { decodePolicy } from "../plugin/decodePolicy.ts"
import type { Registry } from "../plugin/Registry.ts"
import { Policy } from "../Policy.ts"
import { replay, replayAll, type ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { decisionJson, isNotLater, timingOf } from "./decisions.ts"
import { anyTimeline, realisticTimeline, timelineOf } from "./guestEvents.ts"
import { decideLive } from "./liveDecision.ts"
import { builtin, duration, policy, policyRegistry, quiesceOptions, quiescedIfItFits } from "./policies.ts"
import { replayStepwise } from "./stepwise.ts"
import { damagedTimeline, timeline } from "./timelines.ts"

/** On what a law is checked. */
export interface LawOptions {
  /** Timelines to decide on; {@link timeline}, generated ones of all kinds, if absent. */
  readonly timelines?: fc.Arbitrary<ReplayedTimeline>
  /** How many; the environment variable `STILLPOINT_RUNS`, or 1,000, if absent. */
  readonly runs?: number
  /** To repeat a failure: the seed that it reported. */
  readonly seed?: number
  /** Knows the parts of the trigger, so that its JSON is read back; without it, that law is left out for plug-ins. */
  readonly registry?: Registry
}

/**
 * Runs of each law, if not said otherwise: the environment variable `STILLPOINT_RUNS`, or 1,000. For a million of each:
 * `STILLPOINT_RUNS=1000000 vitest run laws`.
 */
export const defaultRuns = (): number => Number(process.env["STILLPOINT_RUNS"] ?? 1000)

/**
 * How long a law may take at the most, for a test runner that wants to know: a thousand runs take about a second, a million
 * (`STILLPOINT_RUNS=1000000`) some minutes.
 */
export const longestLawMillis = (runs: number = defaultRuns()): number => Math.max(60_000, 20 * runs)

type Decision = Result.Result<Firing, TriggerError>

const parameters = (options: LawOptions) => ({
  numRuns: options.runs ?? defaultRuns(),
  ...(options.seed === undefined ? {} : { seed: options.seed })
})

const timelinesOf = (options: LawOptions) => options.timelines ?? timeline

const property = (name: string, make: () => fc.IRawProperty<unknown>, options: LawOptions): Law<never> => ({
  name,
  check: Effect.promise(async () => {
    await fc.assert(make(), parameters(options))
  })
})

/** What a decision says, without what depends on how the policy was put together. */
const summary = (decision: Decision): unknown =>
  Result.isSuccess(decision)
    ? {
        atNanos: decision.success.atNanos,
        afterSeq: decision.success.afterSeq,
        trigger: decision.success.trigger,
        cause: decision.success.cause
      }
    : { failed: isHard(decision) ? decision.failure.reason._tag : "no firing" }

const hardReasons: ReadonlySet<TriggerReason["_tag"]> = new Set(["QuiesceFailed", "ProbeFailed", "TriggerDefect"])

/** A part that is to fail where it does not come true ends the whole policy: then nothing else in it decides. */
const isHard = (decision: Decision): boolean =>
  Result.isFailure(decision) && hardReasons.has(decision.failure.reason._tag)

const later = (events: ReadonlyArray<GuestEvent>, byNanos: number): ReadonlyArray<GuestEvent> =>
  events.map((event) => ({ ...event, atNanos: event.atNanos + byNanos }))

const shifted = (original: ReplayedTimeline, byNanos: number): ReplayedTimeline => ({
  events: later(original.events, byNanos),
  end:
    original.end === undefined || original.end === null
      ? null
      : { ...original.end, atNanos: original.end.atNanos + byNanos }
})

/**
 * Every law that holds of one trigger by itself and in composition, for one trigger or any that an arbitrary makes.
 *
 * @example
 * ```ts
 * import { onListener } from "@stillpoint/triggers"
 * import { lawsOf } from "@stillpoint/triggers/testing"
 * import { Effect } from "effect"
 *
 * for (const law of lawsOf(onListener({ port: 80 }), { runs: 50 })) {
 *   await Effect.runPromise(Effect.scoped(law.check))
 *   console.log(law.name)
 *   // live-equals-replay
 *   // …
 *   // every-firing-can-be-explained
 * }
 * ```
 */
export const lawsOf = (trigger: Policy | fc.Arbitrary<Policy>, options: LawOptions = {}): ReadonlyArray<Law<never>> => {
  const triggers = trigger instanceof Policy ? fc.constant(trigger) : trigger
  return [
    liveEqualsReplay(triggers, options),
    prefixOnly(triggers, options),
    atMostOneFiring(triggers, options),
    steppingEqualsReplay(triggers, options),
    shiftsWithTime(triggers, options),
    damageIsDecided(triggers, options),
    neverIsIdentity(triggers, options),
    firstOfIsIdempotent(triggers, options),
    firstOfIsCommutative(triggers, options),
    firstOfIsAssociative(triggers, options),
    precedenceNeverDelays(triggers, options),
    precedenceKeepsWinner(triggers, options),
    noCalmIsIdentity(triggers, options),
    longerCalmIsNotEarlier(triggers, options),
    readsBackFromJson(triggers, options),
    explainsEveryFiring(triggers, options)
  ]
}

/** Run in lockstep with a machine that plays the timeline, a trigger decides what its replay decides, firing or failure. */
export const liveEqualsReplay = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "live-equals-replay",
    () =>
      fc.asyncProperty(triggers, timelinesOf(options), async (one, line) => {
        const { decision, signals } = await Effect.runPromise(decideLive(one, line))
        assert.deepEqual(decisionJson(decision), decisionJson(replay(one, { ...line, signals })))
      }),
    options
  )

/** A decision depends on what came before it only: more events never change one that has fallen. */
export const prefixOnly = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "a-decision-depends-on-the-prefix-only",
    () =>
      fc.property(triggers, timelinesOf(options), fc.nat(), (one, line, cut) => {
        const early = replay(one, { events: line.events.slice(0, cut % (line.events.length + 1)) })
        const isFinal = Result.isSuccess(early) || early.failure.reason._tag !== "GuestEnded"
        if (isFinal && !endedByFault(early)) assert.deepEqual(decisionJson(replay(one, line)), decisionJson(early))
      }),
    options
  )

const endedByFault = (decision: Decision): boolean =>
  Result.isFailure(decision) && decision.failure.reason._tag === "EngineFaulted"

/** One arming brings at most one firing; only what repeats fires again, and then it was armed again. */
export const atMostOneFiring = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "at-most-one-firing-per-arming",
    () =>
      fc.property(triggers, timelinesOf(options), (one, line) => {
        const { firings } = replayAll(firstOf([one]), line)
        assert.ok(firings.length <= 1, `fired ${firings.length} times`)
        const repeated = replayAll(one, line, { limit: 200 }).firings
        repeated.forEach((firing, index) => assert.equal(firing.index, index))
        for (let index = 1; index < repeated.length; index++) {
          const [before, after] = [repeated[index - 1] as Firing, repeated[index] as Firing]
          assert.ok(before.atNanos <= after.atNanos)
          assert.ok(before.afterSeq < after.afterSeq || before.atNanos < after.atNanos, "fired twice on one input")
        }
      }),
    options
  )

/** The pure `step` decides what the compiled replay decides, and a state that was stepped is as it was. */
export const steppingEqualsReplay = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "stepping-equals-replay",
    () =>
      fc.property(triggers, timelinesOf(options), fc.nat(), (one, line, pick) => {
        const { failure, firing, steps } = replayStepwise(one, line)
        const decision = replay(one, line)
        if (Result.isSuccess(decision))
          assert.deepEqual(decisionJson(decision), decisionJson(Result.succeed(firing as Firing)))
        else {
          assert.equal(firing, null)
          if (failure !== null) assert.deepEqual(decisionJson(decision), decisionJson(Result.fail(failure)))
        }
        const again = steps[pick % Math.max(1, steps.length)]
        if (again !== undefined)
          assert.deepEqual(withoutEffects(one.step(again.state, again.input)), withoutEffects(again.step))
      }),
    options
  )

const withoutEffects = <S extends { readonly commands: ReadonlyArray<object> }>(step: S): unknown => ({
  ...step,
  commands: step.commands.map((command) => ({ ...command, run: null }))
})

/** A timeline that happens later, to a policy that is armed later by as much, is decided later by as much. */
export const shiftsWithTime = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "shifting-a-timeline-shifts-the-decision",
    () =>
      fc.property(triggers, timelinesOf(options), fc.nat(1e12), (one, line, byNanos) => {
        const before = timingOf(one, line)
        const after = timingOf(one, shifted(line, byNanos), { originNanos: byNanos })
        assert.deepEqual(after, {
          fired: before.fired === null ? null : before.fired + byNanos,
          afterSeq: before.afterSeq
        })
      }),
    options
  )

/** A timeline with events dropped, repeated, out of order or out of time is decided, or refused by name; nothing hangs or throws. */
export const damageIsDecided = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "damaged-timelines-are-decided-or-refused-by-name",
    () =>
      fc.property(triggers, damagedTimeline, (one, line) => {
        const decision = replay(one, line)
        assert.ok(Result.isSuccess(decision) || decision.failure.message.length > 0)
      }),
    options
  )

/** `never` adds nothing to `firstOf` and `precedence`, on either side. */
export const neverIsIdentity = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "never-is-the-identity-of-first-of",
    () =>
      fc.property(triggers, timelinesOf(options), (one, line) => {
        const alone = summary(replay(one, line))
        for (const compose of [firstOf, precedence]) {
          assert.deepEqual(summary(replay(compose([never, one]), line)), alone)
          assert.deepEqual(summary(replay(compose([one, never]), line)), alone)
          assert.deepEqual(summary(replay(compose([one]), line)), alone)
        }
      }),
    options
  )

/** `firstOf([t, t])` is `t`. */
export const firstOfIsIdempotent = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "first-of-is-idempotent",
    () =>
      fc.property(triggers, timelinesOf(options), (one, line) => {
        assert.deepEqual(summary(replay(firstOf([one, one]), line)), summary(replay(one, line)))
      }),
    options
  )

/** The order in `firstOf` decides nothing but who wins where several fire at one input. */
export const firstOfIsCommutative = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "first-of-is-commutative-up-to-the-tie-break",
    () =>
      fc.property(triggers, policy({ maxDepth: 2 }), timelinesOf(options), (one, other, line) => {
        const forth = replay(firstOf([one, other]), line)
        const back = replay(firstOf([other, one]), line)
        if (isHard(forth) || isHard(back)) return
        assert.deepEqual(timingOf(firstOf([one, other]), line), timingOf(firstOf([other, one]), line))
        const [a, b] = [timingOf(one, line), timingOf(other, line)]
        const isTied = isNotLater(a, b) && isNotLater(b, a)
        if (!isTied) assert.deepEqual(summary(forth), summary(back))
        // The tie-break: the one on the left.
        else if (a.fired !== null) assert.deepEqual(summary(forth), summary(replay(one, line)))
      }),
    options
  )

/** How `firstOf` is nested decides nothing. */
export const firstOfIsAssociative = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "first-of-is-associative",
    () =>
      fc.property(triggers, policy({ maxDepth: 1 }), policy({ maxDepth: 1 }), timelinesOf(options), (a, b, c, line) => {
        const flat = summary(replay(firstOf([a, b, c]), line))
        assert.deepEqual(summary(replay(firstOf([firstOf([a, b]), c]), line)), flat)
        assert.deepEqual(summary(replay(firstOf([a, firstOf([b, c])]), line)), flat)
      }),
    options
  )

/** A lower trigger that is added never delays a decision. */
export const precedenceNeverDelays = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "adding-a-lower-trigger-never-delays-a-higher-one",
    () =>
      fc.property(
        fc.array(policy({ maxDepth: 2 }), { minLength: 1, maxLength: 2 }),
        triggers,
        timelinesOf(options),
        (higher, low, line) => {
          const withLow = replay(precedence([...higher, low]), line)
          if (isHard(withLow)) return
          assert.ok(isNotLater(timingOf(precedence([...higher, low]), line), timingOf(precedence(higher), line)))
        }
      ),
    options
  )

/** Where a higher trigger fires before a lower one that is added would have, it wins as without. */
export const precedenceKeepsWinner = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "adding-a-lower-trigger-never-changes-who-wins-when-a-higher-one-is-first",
    () =>
      fc.property(
        fc.array(policy({ maxDepth: 2 }), { minLength: 1, maxLength: 2 }),
        triggers,
        timelinesOf(options),
        (higher, low, line) => {
          const without = replay(precedence(higher), line)
          const alone = replay(low, line)
          const isFirst = isNotLater(timingOf(precedence(higher), line), timingOf(low, line))
          if (Result.isFailure(without) || isHard(alone) || !isFirst) return
          assert.deepEqual(summary(replay(precedence([...higher, low]), line)), summary(without))
        }
      ),
    options
  )

/** `quiesce` with `calmFor` 0 fires when what it wraps does. */
export const noCalmIsIdentity = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "a-calm-of-zero-is-the-identity-on-timing",
    () =>
      fc.property(triggers, timelinesOf(options), quiesceOptions, (one, line, calm) => {
        const wrapped = quiesce(one, { ...calm, calmFor: 0, agent: "auto" })
        assert.deepEqual(summary(replay(wrapped, line)), summary(replay(one, line)))
      }),
    options
  )

/** Asking for a longer calm never captures earlier. */
export const longerCalmIsNotEarlier = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "a-longer-calm-never-captures-earlier",
    () =>
      fc.property(triggers, timelinesOf(options), quiesceOptions, duration, duration, (one, line, calm, a, b) => {
        const [short, long] = a < b ? [a, b] : [b, a]
        const deadline = calm.deadline === "none" ? "none" : long + 1_000_000n
        // `auto` asks the agent for some calm and not for none: another question, not a longer calm.
        const agent = calm.agent === "ask" ? "ask" : "none"
        const timing = (calmFor: bigint) => timingOf(quiescedIfItFits(one, { ...calm, agent, deadline, calmFor }), line)
        if (quiescedIfItFits(one, { ...calm, agent, deadline, calmFor: long }) === one) return
        assert.ok(isNotLater(timing(short), timing(long)))
      }),
    options
  )

/** The JSON of a trigger makes a trigger that decides the same. */
export const readsBackFromJson = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "a-policy-reads-back-from-its-json",
    () =>
      fc.property(triggers, timelinesOf(options), (one, line) => {
        const read = decodePolicy(JSON.parse(JSON.stringify(one.description)), options.registry ?? policyRegistry)
        if (Result.isFailure(read)) {
          const { problems } = read.failure
          if (options.registry === undefined && problems.every(({ unknownPart }) => unknownPart !== undefined)) return
          throw read.failure
        }
        assert.deepEqual(read.success.description, one.description)
        assert.deepEqual(decisionJson(replay(read.success, line)), decisionJson(replay(one, line)))
      }),
    options
  )

/** Every firing can be told in words. */
export const explainsEveryFiring = (triggers: fc.Arbitrary<Policy>, options: LawOptions = {}): Law<never> =>
  property(
    "every-firing-can-be-explained",
    () =>
      fc.property(triggers, timelinesOf(options), (one, line) => {
        const decision = replay(one, line)
        if (Result.isFailure(decision)) return
        const { cause, others, text } = explain(decision.success)
        assert.ok(text.includes(decision.success.trigger) && text.includes(cause))
        assert.equal(others.length, decision.success.losers.length)
        assert.ok(!/undefined|NaN|\[object/.test(text), text)
      }),
    options
  )

// --- laws of the built-in triggers

const isBefore = (line: ReplayedTimeline, first: GuestEvent["_tag"], second: GuestEvent["_tag"]): boolean => {
  const [a, b] = [first, second].map((kind) => line.events.findIndex(({ _tag }) => _tag === kind))
  return a !== undefined && b !== undefined && a >= 0 && b >= 0 && a < b
}

/** On every timeline that has both, as the agent announces the workload before it executes it, pre-exec wins over the listener. */
export const preExecBeatsListener = (options: LawOptions = {}): Law<never> =>
  property(
    "pre-exec-beats-listener",
    () =>
      fc.property(
        timelinesOf({ ...options, timelines: options.timelines ?? realisticTimeline }),
        quiesceOptions,
        (line, calm) => {
          if (!isBefore(line, "WorkloadPreExec", "ListenerBound")) return
          const bare = replay(precedence([onPreExec(), onListener()]), line)
          assert.equal(Result.getOrThrow(bare).trigger, "onPreExec")
          const turned = replay(precedence([onListener(), onPreExec()]), line)
          assert.equal(Result.getOrThrow(turned).trigger, "onPreExec")
          const options = { ...calm, onDeadline: "capture", agent: "auto", activity: calm.activity ?? [] } as const
          const calmed = replay(
            precedence([onPreExec(), onListener()].map((one) => quiescedIfItFits(one, options))),
            line
          )
          if (Result.isSuccess(calmed)) assert.equal(calmed.success.trigger, "onPreExec")
        }
      ),
    options
  )

/** Nothing that is made of pre-exec alone fires before it. */
export const nothingFiresBeforePreExec = (options: LawOptions = {}): Law<never> =>
  property(
    "no-policy-on-pre-exec-alone-fires-before-it",
    () =>
      fc.property(
        policy({ leaves: fc.constant(onPreExec()), withoutTimeout: true }),
        timelinesOf(options),
        (one, line) => {
          const decision = replay(one, line)
          const first = line.events.find(({ _tag }) => _tag === "WorkloadPreExec")
          if (Result.isSuccess(decision)) {
            assert.ok(
              first !== undefined && decision.success.atNanos >= first.atNanos && decision.success.afterSeq >= first.seq
            )
          }
        }
      ),
    options
  )

/**
 * Of events at one instant the first by `seq` decides, and of the triggers that wait for it the leftmost: whatever the order,
 * the instant is the same.
 */
export const sameInstantObeysTieBreak = (options: LawOptions = {}): Law<never> =>
  property(
    "shuffling-events-of-one-instant-obeys-the-tie-break",
    () =>
      fc.property(
        fc.array(builtin.filter(isOnSingleEvents), { minLength: 1, maxLength: 4 }),
        anyTimeline(),
        fc.array(fc.nat(), { minLength: 25, maxLength: 25 }),
        (triggers, line, keys) => {
          const order = line.events.map((event, index) => [event, keys[index % keys.length] ?? 0] as const)
          const moments = [...order]
            .sort(([a, i], [b, j]) => a.atNanos - b.atNanos || i - j)
            .map(([{ atNanos, seq: _seq, ...event }]) => [atNanos, event as never] as const)
          const mixed = timelineOf(moments, line.end ?? null)
          for (const compose of [firstOf, precedence]) {
            const all = compose(triggers)
            assert.equal(timingOf(all, mixed).fired, timingOf(all, line).fired)
            const decision = replay(all, mixed)
            if (Result.isFailure(decision)) continue
            const alone = triggers.map((one) => timingOf(one, mixed))
            const earliest = alone.reduce((best, one) => (isNotLater(best, one) ? best : one))
            assert.equal(decision.success.trigger, triggers[alone.indexOf(earliest)]?.name)
          }
        }
      ),
    options
  )

const isOnSingleEvents = (one: Policy): boolean => !/^(never|after|onIdle|onDirty)/.test(one.name)

/** Every law of the algebra, over generated policies, and over generated timelines if no others are given. */
export const lawsOfTheAlgebra = (options: LawOptions = {}): ReadonlyArray<Law<never>> => [
  ...lawsOf(policy(), { registry: policyRegistry, ...options }),
  preExecBeatsListener(options),
  nothingFiresBeforePreExec(options),
  sameInstantObeysTieBreak(options)
]
