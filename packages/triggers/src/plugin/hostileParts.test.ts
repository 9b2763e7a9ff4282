import { assert, it } from "@effect/vitest"
import type { GuestEventKind } from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  afterGuestTime,
  allOf,
  debounce,
  defineProbe,
  defineTrigger,
  filter,
  firstOf,
  fromEffect,
  mapCause,
  named,
  onListener,
  type Policy,
  PolicyError,
  type PluginStep,
  quiesce,
  SnapshotResources,
  Trigger
} from "../index.ts"
import { decideLive, timelineOf } from "../testing/index.ts"

const listener = { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 } as const
const silence = timelineOf([[1e9, listener]], { atNanos: 11e9, reason: "idle" })

const refusal = (build: () => unknown): string => {
  try {
    build()
    return "built"
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    return cause.message
  }
}

const outcome = (policy: Policy): string => {
  const decision = Trigger.replay(policy, silence)
  return Result.isSuccess(decision) ? `fired at ${decision.success.atNanos}` : decision.failure.reason._tag
}

const plugin = (parts: {
  readonly interest?: () => unknown
  readonly waitedFor?: () => unknown
  readonly hears?: () => unknown
  readonly start?: () => unknown
  readonly step?: (state: unknown) => unknown
}) =>
  defineTrigger({
    name: "acme/hostile",
    config: Schema.Natural,
    interest: (parts.interest ?? (() => ["ListenerBound"])) as () => ReadonlyArray<GuestEventKind>,
    waitedFor: (parts.waitedFor ?? (() => "anything")) as () => string,
    ...(parts.hears === undefined ? {} : { hears: parts.hears as () => [] }),
    start: (parts.start ?? (() => ({ state: 0 }))) as () => PluginStep<unknown>,
    step: (parts.step ?? (() => ({ state: 0 }))) as () => PluginStep<unknown>
  })

const thrower = (): never => {
  throw new Error("no")
}

describe("code of a user that does what it must not", () => {
  it("is-refused-where-the-policy-is-built", () => {
    for (const interest of [thrower, () => "ListenerBound", () => ["NoSuchKind"], () => null]) {
      assert.match(
        refusal(() => plugin({ interest })(1)),
        /^acme\/hostile\.interest: expected /
      )
    }
    for (const waitedFor of [thrower, () => 5, () => undefined]) {
      assert.match(
        refusal(() => plugin({ waitedFor })(1)),
        /^acme\/hostile\.waitedFor: expected /
      )
    }
    const oddParts = [{ fields: null }, { text: 5 }, { payload: { x: 1 } }].map((odd) => () => [
      { kind: "Custom", ...odd }
    ])
    for (const hears of [thrower, () => 7, () => [5], () => [{ kind: "NoSuchKind" }], () => undefined, ...oddParts]) {
      assert.match(
        refusal(() => plugin({ hears })(1)),
        /^acme\/hostile\.hears: expected /
      )
    }
    assert.match(
      refusal(() => plugin({})(-1)),
      /^acme\/hostile: expected a configuration/
    )
    const probe = defineProbe({ name: "acme/probe", config: Schema.Natural, effect: thrower })
    assert.match(
      refusal(() => probe(-1)),
      /^acme\/probe: expected a configuration/
    )
    assert.match(
      refusal(() => fromEffect("promise", Promise.resolve(1) as never)),
      /^fromEffect\.effect: expected an Effect/
    )
  })

  it("ends-the-policy-by-name-where-it-decides", () => {
    for (const answer of [
      thrower,
      () => undefined,
      async () => ({ state: 1 }),
      () => 5,
      () => ({ state: 1, fires: "yes" }),
      ...["state", "fires", "wakeAtNanos"].map(
        (part) => () => Object.defineProperty({ state: 1 }, part, { get: thrower })
      ),
      () => Object.defineProperty({ state: 1, fires: "yes" }, "more", { get: thrower, enumerable: true }),
      () => {
        const { proxy, revoke } = Proxy.revocable({ state: 1 }, {})
        revoke()
        return proxy
      }
    ]) {
      assert.strictEqual(outcome(plugin({ step: answer })(1)), "TriggerDefect")
      assert.strictEqual(outcome(plugin({ start: answer })(1)), "TriggerDefect")
    }
    const asked = onListener()
    assert.strictEqual(outcome(filter(asked, "later", (async () => true) as never)), "TriggerDefect")
    assert.strictEqual(outcome(mapCause(asked, "nothing", (() => undefined) as never)), "TriggerDefect")
  })

  it.live("or-of-a-probe-is-its-failure", () =>
    Effect.gen(function* () {
      const probe = defineProbe({ name: "acme/probe", config: Schema.Natural, effect: thrower, onFailure: "fail" })
      const { decision } = yield* decideLive(probe(1), silence)
      assert.strictEqual(Result.isFailure(decision) ? decision.failure.reason._tag : "fired", "ProbeFailed")
    })
  )
})

describe("a policy of any size", () => {
  it("is-refused-beyond-what-anybody-writes", () => {
    const nest = (depth: number): Policy =>
      Array.from({ length: depth }).reduce<Policy>((inner) => named(inner, "n"), onListener())
    assert.match(
      refusal(() => nest(3000)),
      /^policy: expected at most 90 combinators/
    )
    assert.strictEqual(outcome(nest(89)), "fired at 1000000000")
    const wide = (count: number) => firstOf(Array.from({ length: count }, () => onListener()))
    assert.match(
      refusal(() => wide(10_000)),
      /^policy: expected at most 10000 parts/
    )
  })

  it("waits-for-a-thousand-and-one-timers", () => {
    const timers = Array.from({ length: 1001 }, (_, index) => afterGuestTime(BigInt(index + 1) * 1_000_000n))
    assert.strictEqual(outcome(allOf(timers)), "fired at 1001000000")
  })

  it("may-poll-for-as-long-as-it-likes", () => {
    for (const polls of [1000, 50_000]) {
      const polling = plugin({
        start: () => ({ state: 0, wakeAtNanos: 10_000_000 }),
        step: (state) => ({
          state: (state as number) + 1,
          fires: state === polls,
          wakeAtNanos: ((state as number) + 2) * 10_000_000
        }),
        interest: () => []
      })
      assert.strictEqual(outcome(polling(1)), `fired at ${(polls + 1) * 10_000_000}`)
    }
  })

  it("that-has-itself-woken-too-often-is-named-before-anybody-waits-for-it-and-alone", () => {
    const silenceNanos = 120e6
    let wakes = 0
    /** Woken at a distance, in bursts that are 50 ms apart; never is as it was before. */
    const waking = (everyNanos: number, burst: number) =>
      defineTrigger({
        name: "acme/waking",
        config: Schema.Natural,
        interest: () => [],
        waitedFor: () => "anything",
        start: (_, atNanos) => ({ state: 0, wakeAtNanos: atNanos + everyNanos }),
        step: (state: number, input) => {
          wakes += 1
          const now = input._tag === "Time" ? input.atNanos : 0
          return { state: state + 1, wakeAtNanos: now + ((state + 1) % burst === 0 ? 50e6 : everyNanos) }
        }
      })(1)
    fc.assert(
      fc.property(
        fc.oneof(fc.integer({ min: 1, max: 30_000 }), fc.constantFrom(1, 9999, 10_000)),
        fc.oneof(fc.constant(Infinity), fc.integer({ min: 1, max: 4000 })),
        fc.boolean(),
        (everyNanos, burst, isBeside) => {
          wakes = 0
          const beside = filter(afterGuestTime(50_000n), "no", () => false)
          const policy = isBeside
            ? allOf([beside, waking(everyNanos, burst), waking(everyNanos, burst)])
            : waking(everyNanos, burst)
          const decision = Trigger.replay(
            policy,
            timelineOf([[silenceNanos, listener]], { atNanos: silenceNanos, reason: "time" })
          )
          const reason = Result.isFailure(decision) ? decision.failure.reason : null
          // Each wake-up is worth 10 µs, and 2,000 may be ahead of that.
          const mostInBurst = everyNanos >= 10_000 ? Infinity : Math.ceil((2000 * 10_000) / (10_000 - everyNanos)) + 1
          const isLawful = Math.min(burst, silenceNanos / everyNanos) < mostInBurst - 1
          if (isLawful) assert.strictEqual(reason?._tag, "GuestEnded")
          if (Math.min(burst, silenceNanos / everyNanos) > mostInBurst) {
            assert.deepInclude(reason, { _tag: "TriggerDefect", trigger: "acme/waking" })
            assert.isAtMost(wakes, 2 * mostInBurst)
          }
        }
      ),
      { numRuns: 60 }
    )
  })

  it.live("that-has-itself-woken-too-often-is-told-the-same-live", () =>
    Effect.gen(function* () {
      const hasty = plugin({
        start: () => ({ state: 0, wakeAtNanos: 1 }),
        step: (state) => ({ state: (state as number) + 1, wakeAtNanos: (state as number) + 2 }),
        interest: () => []
      })(1)
      const { decision } = yield* decideLive(hasty, silence)
      const [live, replayed] = [decision, Trigger.replay(hasty, silence)].map((one) =>
        Result.isFailure(one) ? one.failure.reason : null
      )
      assert.strictEqual(live?._tag, "TriggerDefect")
      assert.deepStrictEqual(live, replayed)
    })
  )

  it("whose-timers-are-past-the-horizon-never-fires", () => {
    const late = SnapshotResources.fromJson({ after_ms: 9_007_199_254, quiesce_ms: 1 })
    assert.strictEqual(outcome(Result.getOrThrow(late).toPolicy()), "GuestEnded")
    assert.strictEqual(
      outcome(quiesce(onListener(), { calmFor: 9_007_199_254_740n * 1000n, deadline: "none", agent: "none" })),
      "GuestEnded"
    )
  })

  it("that-wakes-itself-for-ever-ends-with-the-guest", () => {
    assert.strictEqual(outcome(debounce(afterGuestTime(1n), "1 second")), "GuestEnded")
    assert.strictEqual(outcome(filter(afterGuestTime("10 millis"), "no", () => false)), "GuestEnded")
  })
})
