import { assert, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import * as fc from "fast-check"
import { describe } from "vitest"
import {
  decodePolicy,
  defineProbe,
  defineTrigger,
  filter,
  firstOf,
  fromEffect,
  makeRegistry,
  mapCause,
  mergeRegistries,
  never,
  onCustom,
  onListener,
  type Policy,
  within
} from "../index.ts"
import { defaultRuns, longestLawMillis, policy, policyRegistry } from "../testing/index.ts"

const Config = Schema.Struct({ times: Schema.Natural })
const nth = defineTrigger({
  name: "acme/nth",
  config: Config,
  interest: () => ["SerialLine"],
  waitedFor: ({ times }) => `${times} lines`,
  start: () => ({ state: 0 }),
  step: (seen: number) => ({ state: seen + 1 })
})
const answers = defineProbe({ name: "acme/answers", config: Config, effect: () => Effect.void })

/** A policy that needs a part of each kind from a registry, and how the part is called there. */
const parts: Readonly<Record<string, readonly [part: Policy, name: string]>> = {
  triggers: [nth({ times: 2 }), "acme/nth"],
  probes: [answers({ times: 2 }), "acme/answers"],
  effects: [fromEffect("warm-up", Effect.void), "warm-up"],
  predicates: [filter(onListener(), "low-port", () => true), "low-port"],
  causeMaps: [mapCause(onListener(), "request", (cause) => cause), "request"],
  schemas: [onCustom("warm", Schema.Natural), "warm"]
}

const registry = mergeRegistries(
  makeRegistry({ triggers: [nth], probes: [answers] }),
  makeRegistry({
    effects: { "warm-up": Effect.void },
    predicates: { "low-port": () => true },
    causeMaps: { request: (cause) => cause },
    schemas: { warm: Schema.Natural }
  })
)

const asRecord = ({ description }: Policy): object => Object(description)
const asJson = ({ description }: Policy): unknown => JSON.parse(JSON.stringify(description))

describe("a policy as JSON", () => {
  for (const [kind, [part, name]] of Object.entries(parts)) {
    it(`an-unknown-${kind}-is-named-with-its-place`, () => {
      const json = asJson(firstOf([never, within(part, "5 seconds")]))
      const read = decodePolicy(json)
      const problem = Result.isFailure(read) ? read.failure.problems[0] : undefined
      assert.deepStrictEqual(problem?.unknownPart, { kind, name })
      assert.deepStrictEqual(problem?.path, [
        "of",
        1,
        "of",
        Object.entries(asRecord(part)).find(([key, value]) => key !== "trigger" && value === name)?.[0] ?? ""
      ])
      assert.include(problem?.message, name)
      assert.deepStrictEqual(asJson(Result.getOrThrow(decodePolicy(json, registry))), json)
    })
  }

  it("every-problem-of-a-configuration-is-told-with-its-place", () => {
    const json = { trigger: "firstOf", of: [{ trigger: "plugin", name: "acme/nth", config: { times: -1 } }] }
    const read = decodePolicy(json, registry)
    if (Result.isSuccess(read)) return assert.fail("expected a PolicyError")
    assert.deepStrictEqual(read.failure.problems[0]?.path, ["of", 0, "config", "times"])
  })

  it(
    "whatever-is-no-policy-is-refused-and-nothing-throws",
    () => {
      fc.assert(
        fc.property(fc.jsonValue(), (json) => {
          const read = decodePolicy(json, registry)
          assert.isTrue(Result.isFailure(read) && read.failure.message.length > 0)
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it(
    "a-policy-with-one-field-changed-is-read-or-refused-and-nothing-throws",
    () => {
      const values = fc.oneof(fc.jsonValue(), fc.constantFrom(-1, 0.5, 2 ** 53, 1e300, "", "[", null))
      fc.assert(
        fc.property(policy(), fc.nat(), values, (one, pick, value) => {
          const json = asJson(one)
          const places: Array<readonly [Record<string, unknown>, string]> = []
          const visit = (at: unknown): void => {
            if (typeof at !== "object" || at === null) return
            for (const key of Object.keys(at)) {
              places.push([at as Record<string, unknown>, key])
              visit((at as Record<string, unknown>)[key])
            }
          }
          visit(json)
          const place = places[pick % places.length]
          if (place !== undefined) place[0][place[1]] = value
          const read = decodePolicy(json, policyRegistry)
          if (Result.isFailure(read)) assert.isAbove(read.failure.message.length, 0)
          else
            assert.deepStrictEqual(
              asJson(Result.getOrThrow(decodePolicy(asJson(read.success), policyRegistry))),
              asJson(read.success)
            )
        }),
        { numRuns: defaultRuns() }
      )
    },
    longestLawMillis()
  )

  it("a-kind-that-had-another-name-when-it-was-written-is-the-kind-of-now", () => {
    const read = Result.getOrThrow(decodePolicy({ trigger: "onEvent", kind: "AgentQuiesced" }))
    assert.deepStrictEqual(read.description, { trigger: "onEvent", kind: "AgentFrozen" })
  })

  it("a-mistyped-name-is-answered-with-the-one-that-was-meant", () => {
    const message = (json: unknown): string => {
      const read = decodePolicy(json, registry)
      return Result.isFailure(read) ? read.failure.message : "read"
    }
    assert.strictEqual(message({ trigger: "onListner" }), "trigger: unknown trigger onListner; did you mean onListener")
    assert.strictEqual(
      message({ trigger: "onListener", adress: "::" }),
      "adress: unknown field adress; did you mean address"
    )
    assert.include(message({ trigger: "fromEffect", name: "warmup" }), "unknown effect warmup; did you mean warm-up")
    assert.include(message({ trigger: "make coffee\nnow" }), 'unknown trigger "make coffee\\nnow"; known are never, ')
    assert.strictEqual(message("onListener"), "expected a policy, an object with the name of a trigger, found a string")
  })

  it("all-problems-are-told-at-once-each-with-its-place-in-few-lines", () => {
    const read = decodePolicy({
      trigger: "precedence",
      of: [
        { trigger: "onListner" },
        { trigger: "onListener", port: 70_000, adress: "::" },
        { trigger: "quiesce", of: { trigger: "atHeartbeat", count: 0 }, calmForNanos: -1 },
        { trigger: "onSerialMatch", regex: "(" },
        { trigger: "within", of: { trigger: "fromEffect", name: "nothing" }, nanos: 5 }
      ]
    })
    if (Result.isSuccess(read)) return assert.fail("read")
    const places = read.failure.problems.map(({ path }) => path.join("."))
    for (const place of [
      "of.0.trigger",
      "of.1.adress",
      "of.2.calmForNanos",
      "of.2.deadlineNanos",
      "of.2.of.count",
      "of.3.regex",
      "of.4.of.name"
    ])
      assert.include(places, place)
    assert.isAtMost(read.failure.message.split("\n").length, 15)
    const port = decodePolicy({ trigger: "firstOf", of: [{ trigger: "onListener", port: 70_000 }] })
    assert.deepStrictEqual(Result.isFailure(port) ? port.failure.problems[0]?.path : [], ["of", 0, "port"])
  })

  it("one-that-is-nested-without-end-is-refused", () => {
    let json: unknown = { trigger: "never" }
    for (let depth = 0; depth < 10_000; depth++) json = { trigger: "named", name: "deep", of: json }
    const read = decodePolicy(json)
    assert.include(Result.isFailure(read) ? read.failure.message : "", "levels")
  })
})
