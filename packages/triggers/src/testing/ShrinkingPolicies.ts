/**
 * Shrinking policies: a counter-example is the smallest policy that fails.
 *
 * @module
 */
import { Result, type Schema } from "effect"
import * as fc from "fast-check"
import { decodePolicy } from "../plugin/decodePolicy.ts"
import type { Registry } from "../plugin/Registry.ts"
import type { Policy } from "../Policy.ts"

type Description = Schema.JsonObject

const isDescription = (json: Schema.Json | undefined): json is Description =>
  typeof json === "object" && json !== null && "trigger" in json

/** The fields of a description that hold parts. */
const places = ["of", "first", "second", "other"] as const

/** Descriptions of smaller policies, the smallest first: a part alone, one part of several left out, a part made smaller. */
function* smaller(whole: Description): Generator<Description> {
  for (const place of places) {
    const parts = whole[place]
    if (isDescription(parts)) yield parts
    else if (Array.isArray(parts)) yield* parts.filter(isDescription)
  }
  for (const place of places) {
    const parts = whole[place]
    if (isDescription(parts)) {
      for (const less of smaller(parts)) yield { ...whole, [place]: less }
    } else if (Array.isArray(parts)) {
      if (parts.length > 1)
        for (const [index] of parts.entries()) yield { ...whole, [place]: parts.toSpliced(index, 1) }
      for (const [index, part] of parts.entries()) {
        if (isDescription(part)) for (const less of smaller(part)) yield { ...whole, [place]: parts.with(index, less) }
      }
    }
  }
}

/** Policies as an arbitrary makes them, which shrink towards their parts; a registry knows the parts. */
export class ShrinkingPolicies extends fc.Arbitrary<Policy> {
  private readonly policies: fc.Arbitrary<Policy>
  private readonly registry: Registry

  constructor(policies: fc.Arbitrary<Policy>, registry: Registry) {
    super()
    this.policies = policies
    this.registry = registry
  }

  generate(random: fc.Random, biasFactor: number | undefined): fc.Value<Policy> {
    return this.policies.generate(random, biasFactor)
  }

  canShrinkWithoutContext(_value: unknown): _value is Policy {
    return true
  }

  shrink(value: Policy, context: unknown): fc.Stream<fc.Value<Policy>> {
    const parts = fc.stream(this.policiesSmallerThan(value))
    return context === undefined ? parts : parts.join(this.policies.shrink(value, context))
  }

  private *policiesSmallerThan({ description }: Policy): Generator<fc.Value<Policy>> {
    if (!isDescription(description)) return
    for (const less of smaller(description)) {
      const read = decodePolicy(less, this.registry)
      // A part that is invalid alone, such as a calm that no longer fits: another one is tried.
      if (Result.isSuccess(read)) yield new fc.Value(read.success, undefined)
    }
  }
}
