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
  trigger: [nth({ times: 2 }), "acme/nth"],
  probe: [answers({ times: 2 }), "acme/answers"],
  effect: [fromEffect("warm-up", Effect.void), "warm-up"],
  predicate: [filter(onListener(), "low-port", () => true), "low-port"],
  causeMap: [mapCause(onListener(), "request", (cause) => cause), "request"],
  schema: [onCustom("warm", Schema.Natural), "warm"]
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

const asJson = ({ description }: Policy): unknown => JSON.parse(JSON.stringify(description))

describe("a policy as JSON", () => {
  for (const [kind, [part, name]] of Object.entries(parts)) {
    it(`an-unknown-${kind}-is-named-with-its-place`, () => {
      const json = asJson(firstOf([never, within(part, "5 seconds")]))
      const read = decodePolicy(json)
      if (Result.isSuccess(read) || read.failure._tag !== "UnknownPart") return assert.fail("expected an UnknownPart")
      assert.strictEqual(read.failure.kind, kind)
      assert.strictEqual(read.failure.name, name)
      assert.deepStrictEqual(read.failure.path, ["of", 1, "of"])
      assert.include(read.failure.message, JSON.stringify(name))
      assert.deepStrictEqual(asJson(Result.getOrThrow(decodePolicy(json, registry))), json)
    })
  }

  it("every-problem-of-a-configuration-is-told-with-its-place", () => {
    const json = { trigger: "firstOf", of: [{ trigger: "plugin", name: "acme/nth", config: { times: -1 } }] }
    const read = decodePolicy(json, registry)
    if (Result.isSuccess(read) || read.failure._tag !== "PolicyError") return assert.fail("expected a PolicyError")
    assert.deepStrictEqual(read.failure.problems[0]?.path, ["of", 0, "config"])
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

  it("one-that-is-nested-without-end-is-refused", () => {
    let json: unknown = { trigger: "never" }
    for (let depth = 0; depth < 10_000; depth++) json = { trigger: "named", name: "deep", of: json }
    const read = decodePolicy(json)
    assert.include(Result.isFailure(read) ? read.failure.message : "", "levels")
  })
})
