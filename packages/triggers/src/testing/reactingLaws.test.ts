import { assert, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import { longestLawMillis } from "./TriggerLaw.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { ioInFlight } from "../combinators/activity.ts"
import { debounce } from "../combinators/debounce.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { preExecBeforeTheWorkload } from "./beforeTheWorkload.ts"
import { calmIsOfWhatRuns } from "./calmOfWhatRuns.ts"
import { frozenWhoeverMeddles } from "./meddledGuests.ts"
import { decideReacting } from "./reactingMachine.ts"
import type { ReactiveGuest } from "./ReactiveGuest.ts"
import { reactiveGuest } from "./reactiveGuests.ts"
import { frozenIsTrue, lawsOfReactingGuests } from "./reactingLaws.ts"

/** A guest whose workload does nothing, and whose agent freezes at once. */
const resting: ReactiveGuest = {
  system: [],
  heartbeats: { everyNanos: 50e6, count: 0 },
  announcedAtNanos: 5e6,
  holdNanos: 20e6,
  workload: [],
  agent: { onFreeze: "freezes", freezeNanos: 0, thawNanos: 0 },
  haltsAtNanos: null
}

describe("a freeze is given back", () => {
  it.effect("also-where-the-guest-rests-for-ever-in-a-wait-without-a-deadline", () =>
    Effect.gen(function* () {
      const policy = quiesce(onSerialMatch("ready"), {
        calmFor: "1 millis",
        deadline: "none",
        agent: "ask",
        activity: [ioInFlight]
      })
      const { decision, guest } = yield* decideReacting(policy, {
        ...resting,
        workload: [
          { restNanos: 0, workNanos: 1000, event: { _tag: "SerialLine", port: 0, text: "ready" } },
          { restNanos: 0, workNanos: 1000, event: { _tag: "IoStarted", device: "entropy" } }
        ],
        agent: { ...resting.agent, freezeNanos: 1.2e9 }
      })
      assert.strictEqual(Result.isFailure(decision) ? decision.failure.reason._tag : "fired", "GuestEnded")
      assert.isNotNull(guest.frozenSinceNanos)
      guest.run({ budgetNanos: 1e9 })
      assert.isNull(guest.frozenSinceNanos)
    })
  )
})

describe("a quiesce without a calm is its trigger", () => {
  it.effect("also-where-that-one-waited-for-a-frozen-workload", () =>
    Effect.gen(function* () {
      const calm = { calmFor: "50 millis", deadline: "none", agent: "ask", activity: [] } as const
      const policy = quiesce(quiesce(atHeartbeat(1), calm), { calmFor: 0 })
      const { decision, guest } = yield* decideReacting(policy, {
        ...resting,
        heartbeats: { everyNanos: 50e6, count: 1 }
      })
      const told = Result.getOrThrow(decision).quiesce
      assert.strictEqual(told?.agent, "frozen")
      assert.strictEqual(told?.calmForNanos, 50e6)
      assert.isNotNull(guest.frozenSinceNanos)
    })
  )
})

describe("what is said of the agent is so", () => {
  it.effect("also-where-a-slow-agent-answers-a-request-that-was-given-back", () => {
    const policy = repeat(
      quiesce(atHeartbeat(1), {
        calmFor: "1 millis",
        deadline: "11 millis",
        onDeadline: "capture",
        activity: [],
        agent: "ask"
      })
    )
    const guest: ReactiveGuest = {
      ...resting,
      heartbeats: { everyNanos: 50e6, count: 2 },
      agent: { ...resting.agent, freezeNanos: 60e6 }
    }
    return frozenIsTrue({ policies: fc.constant(policy), guests: fc.constant(guest), runs: 20 }).check
  })
})

describe("a guest that is generated", () => {
  it.effect("ends-also-under-a-policy-that-asks-its-agent-for-ever", () =>
    Effect.gen(function* () {
      const calm = { calmFor: "10 millis", deadline: "20 millis", onDeadline: "capture", agent: "ask" } as const
      const policy = debounce(quiesce(onDirtyRateBelow(100, "10 millis"), calm), "1 second")
      const { decision, guest } = yield* decideReacting(policy, resting)
      assert.strictEqual(Result.isFailure(decision) ? decision.failure.reason._tag : "fired", "GuestEnded")
      assert.isTrue(guest.isWornOut)
    })
  )
})

const leaves = fc.constantFrom(atHeartbeat(1), onSerialMatch("ready"))

describe("guests that others freeze and thaw", () => {
  it.effect("come-to-what-their-law-is-about", () =>
    Effect.promise(async () => {
      const counts = { decided: 0, frozen: 0, settled: 0, meddledWith: 0 }
      await fc.assert(frozenWhoeverMeddles(leaves, reactiveGuest(), counts), { numRuns: 100, seed: 8 })
      assert.isAtLeast(counts.meddledWith, 5, JSON.stringify(counts))
    })
  )
})

describe("guests that others freeze beside who does not ask", () => {
  it.effect("come-to-what-their-law-is-about", () =>
    Effect.promise(async () => {
      const counts = { settled: 0, frozenMeanwhile: 0 }
      await fc.assert(calmIsOfWhatRuns(leaves, reactiveGuest(), counts), { numRuns: 200, seed: 8 })
      assert.isAtLeast(counts.frozenMeanwhile, 5, JSON.stringify(counts))
    })
  )
})

describe("guests whose console announces the workload", () => {
  it.effect("come-to-what-their-law-is-about", () =>
    Effect.promise(async () => {
      const counts = { corrected: 0 }
      await fc.assert(preExecBeforeTheWorkload(reactiveGuest(), counts), { numRuns: 100, seed: 8 })
      assert.isAtLeast(counts.corrected, 5, JSON.stringify(counts))
    })
  )
})

describe("laws of the algebra, over guests that react", () => {
  for (const law of lawsOfReactingGuests()) it.effect(law.name, () => law.check, longestLawMillis())
})
