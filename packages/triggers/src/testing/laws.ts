/**
 * The laws of every trigger, as properties for any test runner.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { explain, type Firing, type GuestEvent } from "@stillpoint/core"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { never } from "../builtin/never.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { named } from "../combinators/named.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { replayAll, type ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { Policy } from "../Policy.ts"
import { decodePolicy } from "../plugin/decodePolicy.ts"
import { accountIsTrue } from "./accountIsTrue.ts"
import { decisionJson, isNotLater } from "./decisions.ts"
import {
  asksNobodyElse,
  hasNoDefect,
  hearsWhatItIsInterestedIn,
  isAttackedByPayloads,
  restsBetweenEvents
} from "./honestLaws.ts"
import { decideLive } from "./liveDecision.ts"
import { duration, policy, policyRegistry, quiesceOptions, quiescedIfItFits } from "./policies.ts"
import { withoutSharedAnswers } from "./sharedFreeze.ts"
import { replayStepwise } from "./stepwise.ts"
import { damaged } from "./timelines.ts"
import {
  type Decision,
  isHard,
  type LawOptions,
  type LawSubject,
  summary,
  timing,
  triggerLaw,
  type TriggerLaw,
  type Triggers
} from "./TriggerLaw.ts"

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
 * Every law of a trigger alone and in combinations, for one trigger or for any that an arbitrary makes.
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
 *   // a-trigger-lets-guest-time-go-on
 *   // …
 *   // whatever-a-workload-sends-a-trigger-has-no-defect
 * }
 * ```
 */
export const lawsOf = (triggers: Triggers, options: LawOptions = {}): ReadonlyArray<TriggerLaw> => [
  // First, because a trigger that breaks it makes the others take hours.
  ...(triggers instanceof Policy ? [restsBetweenEvents(triggers, options)] : []),
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
  everySentenceIsTrue(triggers, options),
  asksNobodyElse(triggers, options),
  hearsWhatItIsInterestedIn(triggers, options),
  // Some generated policies fire again and again on their own, and are reported as defective.
  ...(triggers instanceof Policy ? [hasNoDefect(triggers, options), isAttackedByPayloads(triggers, options)] : [])
]

/** Run in lockstep with a machine that plays the timeline, a trigger decides what its replay decides, firing or failure. */
export const liveEqualsReplay = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("live-equals-replay", triggers, options, ({ decide, timelines, triggers }) =>
    fc.asyncProperty(triggers, timelines, async (one, line) => {
      const { decision, signals } = await Effect.runPromise(decideLive(one, line))
      assert.deepEqual(decisionJson(decision), decisionJson(decide(one, { ...line, signals })))
    })
  )

/** A decision depends only on earlier events: more events never change it. */
export const prefixOnly = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-decision-depends-on-the-prefix-only", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, fc.nat(), (one, line, cut) => {
      const early = decide(one, { events: line.events.slice(0, cut % (line.events.length + 1)) })
      const isFinal = Result.isSuccess(early) || early.failure.reason._tag !== "GuestEnded"
      if (isFinal && !endedByFault(early)) assert.deepEqual(decisionJson(decide(one, line)), decisionJson(early))
    })
  )

const endedByFault = (decision: Decision): boolean =>
  Result.isFailure(decision) && decision.failure.reason._tag === "EngineFaulted"

/** One arming brings at most one firing; only what repeats fires again, and then it was armed again. */
export const atMostOneFiring = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("at-most-one-firing-per-arming", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, (one, line) => {
      decide(one, line)
      const { firings } = replayAll(firstOf([one]), line)
      assert.ok(firings.length <= 1, `fired ${firings.length} times`)
      const repeated = replayAll(one, line, { limit: 200 }).firings
      repeated.forEach((firing, index) => assert.equal(firing.index, index))
      for (let index = 1; index < repeated.length; index++) {
        const [before, after] = [repeated[index - 1] as Firing, repeated[index] as Firing]
        assert.ok(before.atNanos <= after.atNanos)
        assert.ok(before.afterSeq < after.afterSeq || before.atNanos < after.atNanos, "fired twice on one input")
      }
    })
  )

/** The pure `step` makes the same decision as the compiled replay, and a state is unchanged after a step from it. */
export const steppingEqualsReplay = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("stepping-equals-replay", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, fc.nat(), (one, line, pick) => {
      const { failure, firing, steps } = replayStepwise(one, line)
      const decision = decide(one, line)
      if (Result.isSuccess(decision))
        assert.deepEqual(decisionJson(decision), decisionJson(Result.succeed(firing as Firing)))
      else {
        assert.equal(firing, null)
        if (failure !== null) assert.deepEqual(decisionJson(decision), decisionJson(Result.fail(failure)))
      }
      const again = steps[pick % Math.max(1, steps.length)]
      if (again !== undefined)
        assert.deepEqual(withoutEffects(one.step(again.state, again.input)), withoutEffects(again.step))
    })
  )

const withoutEffects = <S extends { readonly commands: ReadonlyArray<object> }>(step: S): unknown => ({
  ...step,
  commands: step.commands.map((command) => ({ ...command, run: null }))
})

/** A timeline that happens later, to a policy that is armed later by as much, is decided later by as much. */
export const shiftsWithTime = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("shifting-a-timeline-shifts-the-decision", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, fc.nat(1e12), (one, line, byNanos) => {
      const before = timing(decide)(one, line)
      const after = timing(decide)(one, shifted(line, byNanos), { originNanos: byNanos })
      assert.deepEqual(after, {
        fired: before.fired === null ? null : before.fired + byNanos,
        afterSeq: before.afterSeq
      })
    })
  )

/** A timeline with events dropped, repeated, out of order or out of time is decided, or refused by name; nothing hangs or throws. */
export const damageIsDecided = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("damaged-timelines-are-decided-or-refused-by-name", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, damaged(timelines), (one, line) => {
      const decision = decide(one, line)
      assert.ok(Result.isSuccess(decision) || decision.failure.message.length > 0)
    })
  )

/** `never` adds nothing to `firstOf` and `precedence`, on either side. */
export const neverIsIdentity = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("never-is-the-identity-of-first-of", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, (one, line) => {
      const alone = summary(decide(one, line))
      for (const compose of [firstOf, precedence]) {
        assert.deepEqual(summary(decide(compose([never, one]), line)), alone)
        assert.deepEqual(summary(decide(compose([one, never]), line)), alone)
        assert.deepEqual(summary(decide(compose([one]), line)), alone)
      }
    })
  )

/** `firstOf([t, t])` is `t`. */
export const firstOfIsIdempotent = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("first-of-is-idempotent", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, (one, line) => {
      assert.deepEqual(summary(decide(firstOf([one, one]), line)), summary(decide(one, line)))
    })
  )

/**
 * The order in `firstOf` only decides which trigger wins if several fire at one input: the leftmost. For parts that share the
 * agent's answers, this holds as they are together; for others, as each is alone.
 */
export const firstOfIsCommutative = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("first-of-is-commutative-up-to-the-tie-break", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, policy({ maxDepth: 2 }), timelines, (one, other, line) => {
      orderBreaksTiesOnly(decide, one, other, line)
      const apart = withoutSharedAnswers(one, other, line)
      const forth = decide(firstOf([one, other]), apart)
      if (isHard(forth) || isHard(decide(firstOf([other, one]), apart))) return
      const [a, b] = [timing(decide)(one, apart), timing(decide)(other, apart)]
      const isLeft = isNotLater(a, b)
      assert.deepEqual(summary(forth), summary(decide(isLeft ? one : other, apart)))
    })
  )

/** Turned round, `firstOf` fires at the same input, and for the other of the two only where each stood on the left. */
const orderBreaksTiesOnly = (
  decide: LawSubject["decide"],
  one: Policy,
  other: Policy,
  line: ReplayedTimeline
): void => {
  const [forth, back] = [decide(firstOf([one, other]), line), decide(firstOf([other, one]), line)]
  if (isHard(forth) || isHard(back)) return
  assert.deepEqual(timing(decide)(firstOf([one, other]), line), timing(decide)(firstOf([other, one]), line))
  const [left, right] = [named(one, "left"), named(other, "right")]
  const winners = [firstOf([left, right]), firstOf([right, left])].map((both) => sideOf(decide(both, line)))
  if (winners[0] === winners[1]) assert.deepEqual(summary(forth), summary(back))
  else assert.deepEqual(winners, ["left", "right"])
}

/** Name of the part of the root that fired. */
const sideOf = (decision: Decision): string | undefined =>
  Result.isSuccess(decision) ? decision.success.path[1] : undefined

/** The nesting of `firstOf` decides nothing. */
export const firstOfIsAssociative = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("first-of-is-associative", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, policy({ maxDepth: 1 }), policy({ maxDepth: 1 }), timelines, (a, b, c, line) => {
      decide(a, line)
      const flat = summary(decide(firstOf([a, b, c]), line))
      assert.deepEqual(summary(decide(firstOf([firstOf([a, b]), c]), line)), flat)
      assert.deepEqual(summary(decide(firstOf([a, firstOf([b, c])]), line)), flat)
    })
  )

/** A lower trigger that is added never delays a decision, where the two do not share the agent's answers. */
export const precedenceNeverDelays = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("adding-a-lower-trigger-never-delays-a-higher-one", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(
      fc.array(policy({ maxDepth: 2 }), { minLength: 1, maxLength: 2 }),
      triggers,
      timelines,
      (higher, low, anyLine) => {
        const line = withoutSharedAnswers(precedence(higher), low, anyLine)
        decide(low, line)
        const withLow = decide(precedence([...higher, low]), line)
        if (isHard(withLow)) return
        assert.ok(
          isNotLater(timing(decide)(precedence([...higher, low]), line), timing(decide)(precedence(higher), line))
        )
      }
    )
  )

/** If a higher trigger fires before an added lower one would, it wins as it does without that one. */
export const precedenceKeepsWinner = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw(
    "adding-a-lower-trigger-never-changes-who-wins-when-a-higher-one-is-first",
    triggers,
    options,
    ({ decide, timelines, triggers }) =>
      fc.property(
        fc.array(policy({ maxDepth: 2 }), { minLength: 1, maxLength: 2 }),
        triggers,
        timelines,
        (higher, low, anyLine) => {
          const line = withoutSharedAnswers(precedence(higher), low, anyLine)
          const without = decide(precedence(higher), line)
          const alone = decide(low, line)
          const isFirst = isNotLater(timing(decide)(precedence(higher), line), timing(decide)(low, line))
          if (Result.isFailure(without) || isHard(alone) || !isFirst) return
          assert.deepEqual(summary(decide(precedence([...higher, low]), line)), summary(without))
        }
      )
  )

/**
 * `quiesce` with `calmFor` 0 equals its trigger: it fires at the same time, and reports that trigger's calm, if it waited for
 * one.
 */
export const noCalmIsIdentity = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-calm-of-zero-is-the-identity-on-timing", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, quiesceOptions, (one, line, calm) => {
      const wrapped = quiesce(one, { ...calm, calmFor: 0, agent: "auto" })
      const [calmed, alone] = [decide(wrapped, line), decide(one, line)]
      assert.deepEqual(summary(calmed), summary(alone))
      assert.deepEqual(quiesceOf(calmed), quiesceOf(alone))
    })
  )

const quiesceOf = (decision: Decision): unknown => (Result.isSuccess(decision) ? decision.success.quiesce : null)

/** Asking for a longer calm never captures earlier. */
export const longerCalmIsNotEarlier = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-longer-calm-never-captures-earlier", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, quiesceOptions, duration, duration, (one, line, calm, a, b) => {
      const [short, long] = a < b ? [a, b] : [b, a]
      const deadline = calm.deadline === "none" ? "none" : long + 1_000_000n
      // `auto` asks the agent for some calm and not for none: another question, not a longer calm.
      const agent = calm.agent === "ask" ? "ask" : "none"
      const of = (calmFor: bigint) => timing(decide)(quiescedIfItFits(one, { ...calm, agent, deadline, calmFor }), line)
      decide(one, line)
      if (quiescedIfItFits(one, { ...calm, agent, deadline, calmFor: long }) === one) return
      assert.ok(isNotLater(of(short), of(long)))
    })
  )

/** The JSON of a trigger makes a trigger that decides the same. */
export const readsBackFromJson = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("a-policy-reads-back-from-its-json", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, (one, line) => {
      const told = decisionJson(decide(one, line))
      const read = decodePolicy(JSON.parse(JSON.stringify(one.description)), options.registry ?? policyRegistry)
      if (Result.isFailure(read)) {
        const { problems } = read.failure
        if (options.registry === undefined && problems.every(({ unknownPart }) => unknownPart !== undefined)) return
        throw read.failure
      }
      assert.deepEqual(read.success.description, one.description)
      assert.deepEqual(decisionJson(decide(read.success, line)), told)
    })
  )

/** Every sentence of an explanation is true: an independent reading finds it among the guest's events. */
export const everySentenceIsTrue = (triggers: Triggers, options: LawOptions = {}): TriggerLaw =>
  triggerLaw("every-sentence-of-an-account-is-true", triggers, options, ({ decide, timelines, triggers }) =>
    fc.property(triggers, timelines, (one, line) => {
      decide(one, line)
      for (const firing of replayAll(one, line, { limit: 5 }).firings) {
        const { others, text } = explain(firing)
        assert.equal(others.length, firing.losers.length)
        assert.ok(!/undefined|NaN|\[object/.test(text), text)
        const { afterSeq, atNanos, index } = firing
        accountIsTrue(text, { events: line.events, description: one.description, afterSeq, atNanos, index })
      }
    })
  )
