import { randomUUID } from "node:crypto"
import { statSync } from "node:fs"
import { uptime } from "node:os"
import { performance } from "node:perf_hooks"
import { assert, it } from "@effect/vitest"
import { Cause, Effect, Exit, Schema } from "effect"
import { describe } from "vitest"
import { onCustom } from "../builtin/onCustom.ts"
import { onListener } from "../builtin/onListener.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { defineTrigger, type TriggerDefinition } from "../plugin/defineTrigger.ts"
import type { Policy } from "../Policy.ts"
import { lawsOf } from "./laws.ts"

const KeptDate = Date

const write = Schema.Struct({ pending: Schema.Literals([0, 1, 2]) })

/** A trigger on the custom event `write`, correct but for what is given. */
const trigger = <S>(
  broken: Pick<TriggerDefinition<{}, S>, "start" | "step"> & Partial<TriggerDefinition<{}, S>>
): Policy =>
  defineTrigger({
    name: "acme/broken",
    config: Schema.Struct({}),
    interest: () => ["Custom"],
    hears: () => [{ kind: "Custom", fields: { name: "write" }, payload: write }],
    waitedFor: () => "a write",
    ...broken
  })({})

const isWrite = (input: Parameters<TriggerDefinition<{}, unknown>["step"]>[1]): boolean =>
  input._tag === "Event" && input.event._tag === "Custom" && input.event.name === "write"

const correct = trigger({
  start: () => ({ state: 0 }),
  // A date of a given time is no question to the host.
  step: (seen: number, input) => ({ state: seen + 1, fires: isWrite(input) && new KeptDate(seen).getTime() >= 1 })
})

/** Laws that a trigger breaks, and how. */
const broken = Effect.fnUntraced(function* (policy: Policy, only?: string) {
  const found: Array<string> = []
  for (const law of lawsOf(policy, { runs: 150 })) {
    if (only !== undefined && law.name !== only) continue
    const exit = yield* Effect.exit(law.check)
    if (Exit.isFailure(exit)) found.push(`${law.name}: ${Cause.pretty(exit.cause)}`)
  }
  return found
})

let count = 0

class OwnDate extends KeptDate {}

/** Questions to the host as a module keeps them that was loaded before anybody could replace them. */
const kept: Readonly<Record<string, () => unknown>> = {
  now: Date.now,
  date: () => new KeptDate(),
  dateOfNoParts: () => Reflect.construct(KeptDate, []),
  dateInWords: () => KeptDate(),
  dateOfItsOwn: () => new OwnDate(),
  ageOfTheHost: uptime,
  file: () => statSync("/").mtimeMs,
  clock: performance.now.bind(performance),
  hrtime: process.hrtime,
  bigint: process.hrtime.bigint,
  uptime: process.uptime,
  random: Math.random,
  uuid: randomUUID,
  timer: setImmediate.bind(null, () => {})
}

const faults: Readonly<Record<string, readonly [law: string, Policy]>> = {
  "asks-the-wall-clock-on-a-custom-event": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => ({ state, fires: isWrite(input) && Date.now() % 2 === 0 })
    })
  ],
  "asks-a-new-date": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => ({ state, fires: isWrite(input) && new Date().getFullYear() > 2000 })
    })
  ],
  "measures-by-the-wall-clock": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: Date.now() }),
      step: (since: number, input) => ({ state: since, fires: isWrite(input) && Date.now() - since < 5000 })
    })
  ],
  "measures-by-an-imported-clock": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: performance.now() }),
      step: (since: number, input) => ({ state: since, fires: isWrite(input) && performance.now() - since < 5000 })
    })
  ],
  "measures-by-the-age-of-its-process": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: process.uptime() }),
      step: (since: number, input) => ({ state: since, fires: isWrite(input) && process.uptime() - since < 5 })
    })
  ],
  "leaves-it-to-chance": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => ({ state, fires: isWrite(input) && Math.random() > 0.4 })
    })
  ],
  ...Object.fromEntries(
    Object.entries(kept).map(([name, ask]) => [
      `has-kept-${name}-since-it-was-loaded`,
      [
        "a-decision-depends-on-nothing-but-the-timeline",
        trigger({
          start: () => ({ state: null }),
          step: (state, input) => ({ state, fires: isWrite(input) && ask() !== null })
        })
      ] as const
    ])
  ),
  "throws-on-its-first-real-event": [
    "a-trigger-has-no-defect",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => {
        if (isWrite(input)) throw new TypeError("cannot read properties of undefined")
        return { state }
      }
    })
  ],
  "trusts-a-payload": [
    "whatever-a-workload-sends-a-trigger-has-no-defect",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => {
        const { payload } = input._tag === "Event" && input.event._tag === "Custom" ? input.event : { payload: null }
        return { state, fires: isWrite(input) && (payload as { readonly pending: number }).pending.toFixed(0) === "0" }
      }
    })
  ],
  "trusts-a-part-of-a-payload-of-the-right-shape": [
    "whatever-a-workload-sends-a-trigger-has-no-defect",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => {
        const { payload } = input._tag === "Event" && input.event._tag === "Custom" ? input.event : { payload: null }
        const pending = typeof payload === "object" && payload !== null && "pending" in payload ? payload.pending : 0
        if (typeof pending === "number" && pending > 1e15) throw new RangeError("so many writes")
        return { state, fires: isWrite(input) }
      }
    })
  ],
  "asks-to-be-woken-in-the-past": [
    "a-trigger-has-no-defect",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => (isWrite(input) ? { state, wakeAtNanos: 1 } : { state, fires: input._tag === "Time" })
    })
  ],
  "sets-a-timer-every-nanosecond": [
    "a-trigger-lets-guest-time-go-on",
    trigger({
      start: (_config, atNanos) => ({ state: atNanos, wakeAtNanos: atNanos + 1 }),
      step: (_state, input) => {
        const now = input._tag === "Event" ? input.event.atNanos : input.atNanos
        return isWrite(input) ? { state: now, fires: true } : { state: now, wakeAtNanos: now + 1 }
      }
    })
  ],
  "has-hidden-state-that-every-arming-clears": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => {
        count = 0
        return { state: null }
      },
      step: (state, input) => {
        count += isWrite(input) ? 1 : 0
        return { state, fires: count >= 3 }
      }
    })
  ],
  "has-hidden-state-that-nothing-clears": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: null }),
      step: (state, input) => {
        count += 1
        return { state, fires: isWrite(input) && count % 3 === 0 }
      }
    })
  ],
  "changes-its-state-in-place": [
    "a-decision-depends-on-nothing-but-the-timeline",
    trigger({
      start: () => ({ state: { seen: 0 } }),
      step: (state: { seen: number }, input) => {
        state.seen += isWrite(input) ? 1 : 0
        return { state, fires: state.seen >= 3 }
      }
    })
  ],
  "never-fires": ["live-equals-replay", trigger({ start: () => ({ state: null }), step: (state) => ({ state }) })],
  "does-not-say-what-it-hears": [
    "live-equals-replay",
    trigger({
      hears: () => [],
      start: () => ({ state: null }),
      step: (state, input) => ({ state, fires: isWrite(input) })
    })
  ]
}

describe("a trigger that is broken is found out", () => {
  it.effect("one-that-is-correct-keeps-every-law", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* broken(correct), [])
    })
  )

  for (const [fault, [law, policy]] of Object.entries(faults)) {
    it.effect(`one-that-${fault}`, () =>
      Effect.gen(function* () {
        const found = yield* broken(policy, law)
        assert.isTrue(
          found.some((each) => each.startsWith(`${law}: `)),
          found.join("\n")
        )
      })
    )
  }

  it.effect("one-that-never-fires-keeps-no-law-at-all", () =>
    Effect.gen(function* () {
      const [, silent] = faults["never-fires"] ?? []
      if (silent === undefined) return assert.fail("there is none that never fires")
      for (const law of lawsOf(silent, { runs: 50 })) {
        const exit = yield* Effect.exit(law.check)
        const told = Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "held"
        assert.match(told, /found that it fired on none of \d+/, law.name)
      }
    })
  )

  const polling = (everyNanos: number): Policy =>
    trigger({
      start: (_config, atNanos) => ({ state: null, wakeAtNanos: atNanos + everyNanos }),
      step: (state, input) => {
        const now = input._tag === "Event" ? input.event.atNanos : input.atNanos
        return { state, fires: isWrite(input), wakeAtNanos: now + everyNanos }
      }
    })
  const lawOf = (policy: Policy, name: string) => {
    const law = lawsOf(policy, { runs: 100 }).find((each) => each.name === name)
    return law === undefined ? Effect.die(name) : law.check
  }
  const laws = ["live-equals-replay", "stepping-equals-replay", "first-of-is-idempotent"]

  it.effect("no-law-takes-for-ever-on-one-that-polls-all-but-all-the-time", () =>
    Effect.gen(function* () {
      // Once every 10 µs a guest stands for ever.
      for (const name of laws) {
        const exit = yield* Effect.exit(lawOf(polling(10_000), name))
        assert.match(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : name, /^WakesSpent: .*\bpoll less often/)
      }
    })
  )

  it.effect("one-that-polls-moderately-keeps-the-laws-on-as-many-timelines-as-were-asked-for", () =>
    Effect.gen(function* () {
      for (const name of laws) {
        const { fired, timelines } = yield* lawOf(polling(10_000_000), name)
        assert.strictEqual(timelines, 100)
        assert.isAbove(fired, 0)
      }
    })
  )

  it.effect("one-that-says-what-it-hears-in-a-way-that-nothing-can-be-made-of-is-told-so", () =>
    Effect.gen(function* () {
      const heard = { start: () => ({ state: null }), step: (state: null) => ({ state, fires: true }) }
      const told = (payload: Schema.Codec<unknown, unknown>) => {
        const hears = () => [{ kind: "Custom" as const, fields: { name: "write" }, payload }]
        return Effect.map(Effect.exit(lawOf(trigger({ ...heard, hears }), "live-equals-replay")), (exit) =>
          Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "held"
        )
      }
      const prefixed = Schema.String.check(Schema.makeFilter((text: string) => text.startsWith("prefix-of-its-own")))
      assert.match(yield* told(prefixed), /^PolicyError: hears\.payload: expected .* or give the laws `timelines`/)
      assert.match(yield* told(Schema.BigInt), /^PolicyError: hears\.payload: expected .* are JSON/)
      assert.strictEqual(yield* told(Schema.Struct({ pending: Schema.optional(Schema.Number) })), "held")
    })
  )

  it.effect("what-a-law-was-seen-to-hold-of-is-told", () =>
    Effect.gen(function* () {
      for (const policy of [
        correct,
        onListener({ port: 8443, address: "10.0.0.7" }),
        onSerialMatch(/^server (up|ready) in \d{1,3} ms$/),
        onSerialMatch("ready to accept connections", { port: 1 }),
        onSerialMatch(/\bREADY\b/i),
        trigger({
          interest: () => ["SerialLine"],
          hears: () => [{ kind: "SerialLine", text: /^(?!not ).*(?<= )ready\b/i }],
          start: () => ({ state: null }),
          step: (state, input) => ({
            state,
            fires: input._tag === "Event" && input.event._tag === "SerialLine" && /ready/i.test(input.event.text)
          })
        }),
        onCustom("warm", Schema.Struct({ classes: Schema.Int.check(Schema.isGreaterThan(1000)) })),
        atHeartbeat(4711),
        afterGuestTime("7 seconds")
      ]) {
        const [law] = lawsOf(policy, { runs: 100 })
        const report = law === undefined ? undefined : yield* law.check
        assert.isAbove((report?.fired ?? 0) / (report?.decided ?? 1), 0.2, policy.name)
      }
    })
  )
})
