/**
 * The parts besides the built-in ones that a policy in JSON may use.
 *
 * @module
 */
import type { FiringCause } from "@stillpoint/core"
import type { Effect, Schema } from "effect"
import {
  type Reader,
  requireAll,
  requireEffect,
  requireFunction,
  requireOptions,
  requireRecord,
  requireSchema
} from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"

/** The result of `defineTrigger` or `defineProbe`, with any configuration. */
export interface PublishedPart {
  (config: never): Policy
  readonly definition: { readonly name: string; readonly config: Schema.Codec<unknown, Schema.Json> }
}

/** Parts by name. A package of triggers exports a registry; users merge the registries of their packages. */
export interface Registry {
  readonly triggers: ReadonlyMap<string, PublishedPart>
  readonly probes: ReadonlyMap<string, PublishedPart>
  readonly effects: ReadonlyMap<string, Effect.Effect<unknown, unknown>>
  readonly predicates: ReadonlyMap<string, (cause: FiringCause) => boolean>
  readonly causeMaps: ReadonlyMap<string, (cause: FiringCause) => FiringCause>
  readonly schemas: ReadonlyMap<string, Schema.Codec<unknown, unknown>>
}

/** The argument of {@link makeRegistry}; every field is optional. */
export interface RegistryParts {
  /** Triggers of `defineTrigger`. */
  readonly triggers?: ReadonlyArray<PublishedPart>
  /** Probes of `defineProbe`. */
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
  const read = requireOptions("makeRegistry", parts, {
    triggers: published("what defineTrigger returned"),
    probes: published("what defineProbe returned"),
    effects: byName(requireEffect),
    predicates: byName(requireFunction),
    causeMaps: byName(requireFunction),
    schemas: byName(requireSchema)
  })
  return read as Registry
}

const partNames = ["triggers", "probes", "effects", "predicates", "causeMaps", "schemas"] as const

const published =
  (expected: string): Reader<ReadonlyMap<string, PublishedPart>> =>
  (what, list = []) => {
    if (!Array.isArray(list)) return refuse(what, "a list", list)
    const parts = Array.from(list as ReadonlyArray<Partial<PublishedPart> | undefined>, (part, index) => {
      const name: unknown = part?.definition?.name
      return [
        index,
        () =>
          typeof part === "function" && typeof name === "string"
            ? ([name, part as PublishedPart] as const)
            : refuse(`${what}.${index}`, expected, part)
      ] as const
    })
    return new Map(Object.values(requireAll(Object.fromEntries(parts))))
  }

const byName =
  (read: Reader<unknown>): Reader<ReadonlyMap<string, unknown>> =>
  (what, parts = {}) => {
    const entries = Object.entries(requireRecord(what, parts as object, "a record"))
    const checks = entries.map(([name, part]) => [name, () => read(`${what}.${name}`, part)] as const)
    return new Map(Object.entries(requireAll(Object.fromEntries(checks))))
  }

/** Refuses a value that is not a registry. */
export const requireRegistry = (what: string, value: Registry): Registry =>
  typeof value === "object" && value !== null && partNames.every((name) => value[name] instanceof Map)
    ? value
    : refuse(what, "a registry, as makeRegistry makes it", value)

/** A registry with only the built-in parts. */
export const builtinRegistry: Registry = makeRegistry({})

/**
 * Merges registries; if two have a part of the same name, the later one counts.
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
