/**
 * The laws of policies on guests that react: guests that are frozen by them, thawed, and delayed.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { QuiesceReport } from "@stillpoint/core"
import type { Law } from "@stillpoint/core/testing"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onListener } from "../builtin/onListener.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { allOf } from "../combinators/allOf.ts"
import { andThen } from "../combinators/andThen.ts"
import { filter } from "../combinators/filter.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { named } from "../combinators/named.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { decodePolicy } from "../plugin/decodePolicy.ts"
import type { Registry } from "../plugin/Registry.ts"
import type { Policy } from "../Policy.ts"
import { replay } from "../deciding/replayPolicy.ts"
import { decisionJson } from "./decisions.ts"
import { preExecBeforeTheWorkload } from "./beforeTheWorkload.ts"
import { calmIsOfWhatRuns } from "./calmOfWhatRuns.ts"
import { consoleLines, listenerPorts } from "./guestEvents.ts"
import { frozenWhoeverMeddles } from "./meddledGuests.ts"
import { defaultRuns } from "./TriggerLaw.ts"
import { duration, policy, policyRegistry, quiescedIfItFits, quiesceOptions } from "./policies.ts"
import { decideBeside, type Decisions, decideReacting } from "./reactingMachine.ts"
import type { LivingGuest, ReactiveGuest } from "./ReactiveGuest.ts"
import { agentAtOnce, reactiveGuest, stepsApart } from "./reactiveGuests.ts"

/** Options of checking a law of reacting guests. */
export interface ReactingLawOptions {
  /** Policies; generated ones of all kinds if absent. */
  readonly policies?: fc.Arbitrary<Policy>
  /** Guests; generated ones if absent. */
  readonly guests?: fc.Arbitrary<ReactiveGuest>
  /** Number of runs; a fifth of {@link defaultRuns} if absent. */
  readonly runs?: number
  readonly seed?: number
  /** Knows the parts of the policies, so that their JSON is read back. */
  readonly registry?: Registry
}

const law = (
  name: string,
  make: (policies: fc.Arbitrary<Policy>, guests: fc.Arbitrary<ReactiveGuest>) => fc.IRawProperty<unknown>,
  options: ReactingLawOptions
): Law<never> => ({
  name,
  check: Effect.promise(async () => {
    await fc.assert(make(options.policies ?? policy(), options.guests ?? reactiveGuest()), {
      numRuns: options.runs ?? Math.ceil(defaultRuns() / 5),
      ...(options.seed === undefined ? {} : { seed: options.seed })
    })
  })
})

const decide = (one: Policy, guest: ReactiveGuest) => Effect.runPromise(decideReacting(one, guest))

/** A decision without the parts that depend on how the policy was composed. */
const told = async (one: Policy, guest: ReactiveGuest): Promise<unknown> => {
  const { decision } = await decide(one, guest)
  return Result.isSuccess(decision)
    ? {
        atNanos: decision.success.atNanos,
        trigger: decision.success.trigger,
        cause: decision.success.cause,
        quiesce: decision.success.quiesce
      }
    : {
        failed: ["QuiesceFailed", "HoldTooShort", "ProbeFailed", "TriggerDefect"].find(
          (tag) => tag === decision.failure.reason._tag
        )
      }
}

/** The decision of a policy while the guest reacts to it is the same on the recording of that guest. */
export const reactingEqualsReplay = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "what-is-decided-on-a-reacting-guest-is-decided-on-its-record",
    (policies, guests) =>
      fc.asyncProperty(policies, guests, async (one, guest) => {
        const { decision, signals, timeline } = await decide(one, guest)
        assert.deepEqual(decisionJson(decision), decisionJson(replay(one, { ...timeline, signals })))
      }),
    options
  )

/** The equations of `firstOf` and `never`, of JSON, and of a calm of zero, hold where the guest reacts. */
export const equationsHoldReacting = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "equal-policies-do-the-same-to-a-reacting-guest",
    (policies, guests) =>
      fc.asyncProperty(
        policies,
        policy({ maxDepth: 1 }),
        policy({ maxDepth: 1 }),
        guests,
        quiesceOptions,
        async (one, b, c, guest, calm) => {
          const alone = await told(one, guest)
          for (const same of [
            firstOf([never, one]),
            firstOf([one, never]),
            firstOf([one, one]),
            quiesce(one, { ...calm, calmFor: 0, agent: "auto" })
          ])
            assert.deepEqual(await told(same, guest), alone, same.name)
          const read = decodePolicy(JSON.parse(JSON.stringify(one.description)), options.registry ?? policyRegistry)
          if (Result.isSuccess(read)) assert.deepEqual(await told(read.success, guest), alone, "read from JSON")
          const flat = await told(firstOf([one, b, c]), guest)
          assert.deepEqual(await told(firstOf([firstOf([one, b]), c]), guest), flat)
          assert.deepEqual(await told(firstOf([one, firstOf([b, c])]), guest), flat)
        }
      ),
    options
  )

/** Asking for a longer calm never captures earlier, with the agent's help or without. */
export const longerCalmReacting = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "a-longer-calm-never-captures-a-reacting-guest-earlier",
    (policies, guests) =>
      fc.asyncProperty(policies, guests, quiesceOptions, duration, duration, async (one, guest, calm, a, b) => {
        const [short, long] = a < b ? [a, b] : [b, a]
        const agent = calm.agent === "ask" ? ("ask" as const) : ("none" as const)
        const deadline = calm.deadline === "none" ? ("none" as const) : long + 1_000_000n
        const of = (calmFor: bigint) => quiescedIfItFits(one, { ...calm, agent, deadline, calmFor })
        if (of(long) === one) return
        const [early, late] = [await decide(of(short), guest), await decide(of(long), guest)]
        if (Result.isFailure(late.decision) || early.guest.isWornOut) return
        assert.ok(Result.isSuccess(early.decision), "only the longer calm captures")
        assert.ok(early.decision.success.atNanos <= late.decision.success.atNanos)
      }),
    options
  )

const workloadLeaf = fc.oneof(
  fc.constantFrom(onListener(), ...listenerPorts.map((port) => onListener({ port }))),
  fc.constantFrom(...consoleLines).map((text) => onSerialMatch(text)),
  fc.constantFrom(onCustom("warm"), onEvent("Custom"))
)

const anyLeaf = fc.oneof(
  workloadLeaf,
  fc.integer({ min: 1, max: 4 }).map((count) => atHeartbeat(count))
)

/** Policies that freeze the workload: for the sake of those that watch the same guest. */
const freezing: fc.Arbitrary<Policy> = fc
  .tuple(anyLeaf, quiesceOptions, fc.boolean())
  .map(([leaf, options, repeats]) => {
    const frozen = quiesce(leaf, { ...options, agent: "ask" })
    return repeats ? repeat(frozen) : frozen
  })

/** Several policies on one guest. */
const company = (policies: fc.Arbitrary<Policy>): fc.Arbitrary<ReadonlyArray<Policy>> =>
  fc.array(fc.oneof({ weight: 2, arbitrary: freezing }, { weight: 1, arbitrary: policies }), {
    minLength: 1,
    maxLength: 3
  })

/** The statements about the agent in an account of a wait for calm are true. */
const accountIsTrue = (calm: QuiesceReport, atNanos: number, guest: LivingGuest): void => {
  const { agent, triggeredAtNanos, verdict } = calm
  if (verdict === "settled")
    assert.ok(["frozen", "not-asked", "given-back"].includes(agent), `settled, and the agent ${agent}`)
  if (agent === "refused") assert.equal(guest.guest.agent.onFreeze, "refuses")
  if (agent !== "no-answer") return
  // The answer to a request from before, which was given back, is none to the one of this wait.
  const answer = guest.events.find(
    (event) =>
      event._tag === "AgentFrozen" &&
      event.atNanos > triggeredAtNanos &&
      event.atNanos < atNanos &&
      guest.askedAtNanos(event.token) >= triggeredAtNanos
  )
  assert.equal(answer, undefined, "told that the agent has not answered, and it has")
}

/**
 * Statements about the agent are true, whatever else watches the guest: if a firing says that the workload is frozen, it is, and
 * was for the whole calm.
 */
export const frozenIsTrue = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "what-is-said-of-the-agent-is-so",
    (policies, guests) =>
      fc.asyncProperty(company(policies), guests, async (several, guest) => {
        const { decided, guest: living } = await Effect.runPromise(decideBeside(several, guest))
        for (const { firing, frozenSinceNanos } of decided.flatMap(({ firings }) => firings)) {
          const { quiesce: calm } = firing
          if (calm === null) continue
          accountIsTrue(calm, firing.atNanos, living)
          if (calm.agent !== "frozen") continue
          assert.notEqual(frozenSinceNanos, null, "told as frozen, and is not")
          const frozenNanos = firing.atNanos - (frozenSinceNanos ?? firing.atNanos)
          if (calm.verdict === "settled")
            assert.ok(frozenNanos >= calm.calmForNanos, `frozen for ${frozenNanos} ns only`)
        }
        for (const { end } of decided) {
          if (end !== null && "quiesce" in end.reason) accountIsTrue(end.reason.quiesce, end.reason.atNanos, living)
        }
      }),
    options
  )

/** The same where others freeze and thaw, who are no policies: people, or programs that hold the machine. */
export const frozenIsTrueThoughMeddledWith = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "what-is-said-to-be-frozen-is-so-whoever-freezes-and-thaws",
    (_, guests) => frozenWhoeverMeddles(anyLeaf, guests),
    options
  )

/** The calm of a policy that does not ask the agent is the workload's own. */
const calmIsItsOwn = (options: ReactingLawOptions): Law<never> =>
  law(
    "a-calm-that-nobody-is-to-freeze-is-of-a-workload-that-runs",
    (_, guests) => calmIsOfWhatRuns(anyLeaf, guests),
    options
  )

/** A policy withdraws a freeze for a capture that will not happen. */
export const freezeIsGivenBack = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "a-freeze-without-a-capture-is-given-back",
    (policies, guests) =>
      fc.asyncProperty(company(policies), guests, async (several, guest) => {
        const alone = await decide(several[0] as Policy, guest)
        if (Result.isFailure(alone.decision) || alone.decision.success.quiesce?.agent !== "frozen")
          assert.equal(isLeftFrozen(alone.guest), false, "left frozen by a policy that captures nothing")
        const { decided, guest: watched } = await Effect.runPromise(decideBeside(several, guest))
        // A policy whose last firing froze it for a capture still holds it: the capture has not ended.
        if (!decided.some(({ firings }) => firings.at(-1)?.firing.quiesce?.agent === "frozen"))
          assert.equal(isLeftFrozen(watched), false, "left frozen by policies side by side")
      }),
    options
  )

/** Whether the workload is frozen once the agent has answered everything, if no more requests come. */
const isLeftFrozen = (guest: LivingGuest): boolean => {
  const onward = guest.copy()
  onward.run({ budgetNanos: 20e9 })
  return onward.frozenSinceNanos !== null && !onward.hasHalted
}

/**
 * A decision on pre-exec finds a workload that has executed nothing, or that the agent has frozen since, whether the agent or the
 * console announced it, whatever the assumed hold, and inside any combinator.
 */
export const preExecIsBeforeTheWorkload = (options: ReactingLawOptions = {}): Law<never> =>
  law("a-decision-on-pre-exec-is-before-the-workload", (_, guests) => preExecBeforeTheWorkload(guests), options)

/** A policy that waits for calm after a listener fires only if the listener is still open. */
export const listenerIsStillThere = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "a-settled-wait-after-a-listener-finds-it-still-there",
    (_, guests) =>
      fc.asyncProperty(
        fc.constantFrom(onListener(), ...listenerPorts.map((port) => onListener({ port }))),
        quiesceOptions,
        guests,
        async (listener, calm, guest) => {
          const { decided, guest: living } = await Effect.runPromise(decideBeside([quiesce(listener, calm)], guest))
          for (const { firing, isListening } of decided.flatMap(({ firings }) => firings)) {
            if (firing.quiesce?.verdict !== "settled") continue
            // An event at the very nanosecond at which the calm is complete comes too late.
            const isJustClosed = living.events.some(
              ({ _tag, atNanos, seq }) =>
                _tag === "ListenerClosed" && seq > firing.afterSeq && atNanos === firing.atNanos
            )
            assert.ok(isListening !== false || isJustClosed, "nobody listens any more")
          }
        }
      ),
    options
  )

// --- in the workload's own order

/** The same policy twice: with a wait for calm around some of its triggers, which the agent makes, and without. */
interface Twin {
  readonly calm: Policy
  readonly bare: Policy
}

const frozenFor = (nanos: number) => ({ calmFor: BigInt(nanos), deadline: "none", agent: "ask", activity: [] }) as const

const isLaterThanFirst = () => true

const twin: fc.Arbitrary<Twin> = fc.letrec<{ node: Twin }>((tie) => {
  const inner = tie("node")
  const several = fc.array(inner, { minLength: 1, maxLength: 3 })
  const both = (twins: ReadonlyArray<Twin>, make: (of: ReadonlyArray<Policy>) => Policy): Twin => ({
    calm: make(twins.map(({ calm }) => calm)),
    bare: make(twins.map(({ bare }) => bare))
  })
  return {
    node: fc.oneof(
      { maxDepth: 2 },
      fc
        .tuple(workloadLeaf, fc.option(fc.constantFrom(1, 5_000_000, 700_000_000)))
        .map(([bare, calm]) => ({ bare, calm: calm === null ? bare : quiesce(bare, frozenFor(calm)) })),
      fc.oneof(
        several.map((twins) => both(twins, firstOf)),
        several.map((twins) => both(twins, precedence)),
        several.map((twins) => both(twins, allOf)),
        fc.tuple(inner, inner).map((twins) => both(twins, ([a, b]) => andThen(a as Policy, b as Policy))),
        fc.tuple(inner).map((twins) => both(twins, ([a]) => filter(a as Policy, "any", isLaterThanFirst))),
        fc.tuple(inner).map((twins) => both(twins, ([a]) => named(a as Policy, "named"))),
        fc.tuple(inner).map((twins) => both(twins, ([a]) => repeat(a as Policy)))
      )
    )
  }
}).node

/** After which of the workload's steps each firing fell. */
const afterSteps = (decided: Decisions | undefined): ReadonlyArray<number> =>
  (decided?.firings ?? []).map(({ stepsDone }) => stepsDone)

/**
 * For the workload, a freeze takes no time: with an agent that freezes and thaws at once, a policy that waits for calm fires
 * after the same steps of the workload as one that does not, also if it repeats or is part of another.
 */
export const quiesceTakesNoTimeOfTheWorkload = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "a-quiesce-takes-no-time-of-the-workload",
    () =>
      fc.asyncProperty(
        twin,
        fc.boolean(),
        reactiveGuest({ agent: agentAtOnce, workload: stepsApart }),
        async (pair, repeats, guest) => {
          // Events of the system continue through a freeze: only the workload stops.
          const run = async (one: Policy) =>
            afterSteps(
              (
                await Effect.runPromise(
                  decideBeside([repeats ? repeat(one) : one], { ...guest, system: [], haltsAtNanos: null })
                )
              ).decided[0]
            )
          assert.deepEqual(await run(pair.calm), await run(pair.bare))
        }
      ),
    options
  )

/** A policy that does not ask the agent fires after the same steps of the workload, whatever else freezes it meanwhile. */
export const besidesFreezersNothingIsMissed = (options: ReactingLawOptions = {}): Law<never> =>
  law(
    "beside-policies-that-freeze-nothing-is-missed",
    () =>
      fc.asyncProperty(
        fc.array(twin, { minLength: 1, maxLength: 2 }),
        workloadLeaf,
        reactiveGuest({ agent: agentAtOnce, workload: stepsApart }),
        async (freezers, watcher, guest) => {
          const resting = { ...guest, haltsAtNanos: null }
          const alone = await Effect.runPromise(decideBeside([repeat(watcher)], resting))
          const beside = await Effect.runPromise(
            decideBeside([...freezers.map(({ calm }) => repeat(calm)), repeat(watcher)], resting)
          )
          assert.deepEqual(afterSteps(beside.decided.at(-1)), afterSteps(alone.decided[0]))
        }
      ),
    options
  )

/** Every law of policies on guests that react. */
export const lawsOfReactingGuests = (options: ReactingLawOptions = {}): ReadonlyArray<Law<never>> => [
  reactingEqualsReplay(options),
  equationsHoldReacting(options),
  longerCalmReacting(options),
  frozenIsTrue(options),
  frozenIsTrueThoughMeddledWith(options),
  calmIsItsOwn(options),
  freezeIsGivenBack(options),
  preExecIsBeforeTheWorkload(options),
  listenerIsStillThere(options),
  quiesceTakesNoTimeOfTheWorkload(options),
  besidesFreezersNothingIsMissed(options)
]
