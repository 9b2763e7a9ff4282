/**
 * What a policy that is read from JSON may be made of, beside what is built in.
 *
 * @module
 */
import type { FiringCause } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { requireOptions, requireRecord } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"

/** What `defineTrigger` and `defineProbe` return, whatever their configuration. */
export interface PublishedPart {
  (config: never): Policy
  readonly definition: { readonly name: string; readonly config: Schema.Codec<unknown, Schema.Json> }
}

/** Parts by name. A package of triggers exports one; a user merges those of the packages that he uses. */
export interface Registry {
  readonly triggers: ReadonlyMap<string, PublishedPart>
  readonly probes: ReadonlyMap<string, PublishedPart>
  readonly effects: ReadonlyMap<string, Effect.Effect<unknown, unknown>>
  readonly predicates: ReadonlyMap<string, (cause: FiringCause) => boolean>
  readonly causeMaps: ReadonlyMap<string, (cause: FiringCause) => FiringCause>
  readonly schemas: ReadonlyMap<string, Schema.Codec<unknown, unknown>>
}

/** What {@link makeRegistry} takes; everything may be left out. */
export interface RegistryParts {
  /** What `defineTrigger` returned. */
  readonly triggers?: ReadonlyArray<PublishedPart>
  /** What `defineProbe` returned. */
  readonly probes?: ReadonlyArray<PublishedPart>
  /** Effects of `fromEffect`, by the name given there. */
  readonly effects?: Readonly<Record<string, Effect.Effect<unknown, unknown>>>
  /** Predicates of `filter`, by name. */
  readonly predicates?: Readonly<Record<string, (cause: FiringCause) => boolean>>
  /** Functions of `mapCause`, by name. */
  readonly causeMaps?: Readonly<Record<string, (cause: FiringCause) => FiringCause>>
  /** Schemas of `onCustom`, by the name of the event. */
  readonly schemas?: Readonly<Record<string, Schema.Codec<unknown, unknown>>>
}

/**
 * A registry of parts.
 *
 * @example
 * ```ts
 * import { decodePolicy, fromEffect, makeRegistry } from "@stillpoint/triggers"
 * import { Effect, Result } from "effect"
 *
 * const json = JSON.parse(JSON.stringify(fromEffect("warm-up", Effect.void).description))
 * const unknown = decodePolicy(json)
 * console.log(Result.isFailure(unknown) ? unknown.failure.problems[0]?.message : "")
 * // unknown effect warm-up; known are none: add the package that defines it to the registry
 * const known = decodePolicy(json, makeRegistry({ effects: { "warm-up": Effect.void } }))
 * console.log(Result.getOrThrow(known).name) // fromEffect(warm-up)
 * ```
 */
export const makeRegistry = (parts: RegistryParts): Registry => {
  const read = requireOptions("makeRegistry", parts, partNames)
  return {
    triggers: published("triggers", read.triggers, "what defineTrigger returned"),
    probes: published("probes", read.probes, "what defineProbe returned"),
    effects: byName("effects", read.effects, "an Effect", Effect.isEffect),
    predicates: byName("predicates", read.predicates, "a function", isFunction),
    causeMaps: byName("causeMaps", read.causeMaps, "a function", isFunction),
    schemas: byName("schemas", read.schemas, "a schema", Schema.isSchema)
  }
}

const partNames = ["triggers", "probes", "effects", "predicates", "causeMaps", "schemas"] as const

const isFunction = (value: unknown): boolean => typeof value === "function"

const published = (what: string, list: unknown = [], expected: string): ReadonlyMap<string, PublishedPart> => {
  if (!Array.isArray(list)) return refuse(`makeRegistry.${what}`, "a list", list)
  return new Map(
    list.map((part: Partial<PublishedPart> | undefined) => {
      const name: unknown = part?.definition?.name
      return typeof part === "function" && typeof name === "string"
        ? [name, part as PublishedPart]
        : refuse(`makeRegistry.${what}`, expected, part)
    })
  )
}

const byName = <A>(
  what: string,
  parts: Readonly<Record<string, A>> = {},
  expected: string,
  isOne: (value: unknown) => boolean
): ReadonlyMap<string, A> => {
  const entries = Object.entries(requireRecord(`makeRegistry.${what}`, parts, "a record"))
  for (const [name, part] of entries) if (!isOne(part)) refuse(`makeRegistry.${what}.${name}`, expected, part)
  return new Map(entries)
}

/** Refuses what no registry is. */
export const requireRegistry = (what: string, value: Registry): Registry =>
  typeof value === "object" && value !== null && partNames.every((name) => value[name] instanceof Map)
    ? value
    : refuse(what, "a registry, as makeRegistry makes it", value)

/** A registry of nothing but what is built in. */
export const builtinRegistry: Registry = makeRegistry({})

/**
 * Several registries as one; where names meet, the later counts.
 *
 * @example
 * ```ts
 * import { makeRegistry, mergeRegistries } from "@stillpoint/triggers"
 *
 * const ours = makeRegistry({ predicates: { never: () => false } })
 * const theirs = makeRegistry({ predicates: { always: () => true } })
 * console.log([...mergeRegistries(ours, theirs).predicates.keys()].join(", ")) // never, always
 * ```
 */
export const mergeRegistries = (...registries: ReadonlyArray<Registry>): Registry => {
  for (const registry of registries) requireRegistry("mergeRegistries", registry)
  const merge = <K extends keyof Registry>(key: K): Registry[K] =>
    new Map(
      registries.flatMap((registry) => [...(registry[key] as ReadonlyMap<string, unknown>)])
    ) as unknown as Registry[K]
  return {
    triggers: merge("triggers"),
    probes: merge("probes"),
    effects: merge("effects"),
    predicates: merge("predicates"),
    causeMaps: merge("causeMaps"),
    schemas: merge("schemas")
  }
}
