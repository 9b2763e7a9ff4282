import { Effect, type Schema } from "effect"
import { encodeConfig } from "./encodeConfig.ts"
import { optional, requireFunction, requireOptions, requireSchema, requireText } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { probePolicy, type ProbeOptions, requireOnFailure } from "./fromEffect.ts"

/** The definition of an effectful trigger with a configuration. */
export interface ProbeDefinition<A, I extends Schema.Json = Schema.Json> {
  /** Package and name, such as `acme/http-ready`, as used in JSON. */
  readonly name: string
  readonly config: Schema.Codec<A, I>
  readonly effect: (config: A) => Effect.Effect<unknown, unknown>
  readonly onFailure?: ProbeOptions["onFailure"]
}

/** A defined effectful trigger: call it to make a policy, or give it to a registry to read policies from JSON. */
export interface Probe<A> {
  (config: A): Policy
  readonly definition: ProbeDefinition<A>
}

/**
 * Defines an effectful trigger with a name and a configuration, so that policies that use it can be written to and read from JSON.
 * It behaves like `fromEffect`.
 *
 * @example
 * ```ts
 * import { defineProbe } from "@stillpoint/triggers"
 * import { Effect, Schema } from "effect"
 *
 * const settled = defineProbe({
 *   name: "acme/settled",
 *   config: Schema.Struct({ millis: Schema.Natural }),
 *   effect: ({ millis }) => Effect.sleep(millis)
 * })
 * console.log(settled({ millis: 50 }).name) // acme/settled
 * ```
 */
export const defineProbe = <A, I extends Schema.Json>(definition: ProbeDefinition<A, I>): Probe<A> => {
  requireOptions("defineProbe", definition, {
    name: requireText,
    config: requireSchema,
    effect: requireFunction,
    onFailure: optional(requireOnFailure)
  })
  const encode = encodeConfig(definition.name, definition.config)
  const make = (config: A): Policy =>
    probePolicy(
      { trigger: "probe", name: definition.name, config: encode(config) },
      definition.name,
      // An error in making the effect is a failure of the probe, like one in running it.
      Effect.suspend(() => definition.effect(config)),
      definition.onFailure ?? "never"
    )
  return Object.assign(make, { definition: definition as unknown as ProbeDefinition<A> })
}
