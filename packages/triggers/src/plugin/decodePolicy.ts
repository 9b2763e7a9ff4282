/**
 * Reads policies from JSON.
 *
 * @module
 */
import { presentKindName } from "@stillpoint/core"
import { Result, Schema } from "effect"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onConnection } from "../builtin/onConnection.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { eventKinds } from "../automaton/eventKinds.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onRequestServed } from "../builtin/onRequestServed.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
import { onSerialText } from "../builtin/onSerialText.ts"
import { allOf } from "../combinators/allOf.ts"
import { debounce } from "../combinators/debounce.ts"
import { filter } from "../combinators/filter.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { mapCause } from "../combinators/mapCause.ts"
import { named } from "../combinators/named.ts"
import { orElseAfter } from "../combinators/orElseAfter.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { andThen } from "../combinators/andThen.ts"
import { atLatest } from "../combinators/atLatest.ts"
import { within } from "../combinators/within.ts"
import type { Policy } from "../Policy.ts"
import { PolicyError, type PolicyProblem, problemsOf, unknownName } from "../PolicyError.ts"
import { fromEffect } from "./fromEffect.ts"
import { type PolicyDescription, type ShallowCase, shallowCases } from "./PolicyDescription.ts"
import { builtinRegistry, type Registry, requireRegistry } from "./Registry.ts"

type Path = ReadonlyArray<string | number>

/**
 * Reads a policy from its JSON description (`Policy.description`). Parts that are not built in come from the registry. All problems
 * are reported at once, each with its path; an unknown name comes with a suggestion.
 *
 * @example
 * ```ts
 * import { decodePolicy, onPreExec, within } from "@stillpoint/triggers"
 * import { Result } from "effect"
 *
 * const written = JSON.stringify(within(onPreExec(), "5 seconds").description)
 * console.log(Result.getOrThrow(decodePolicy(JSON.parse(written))).name) // within(onPreExec, 5 s)
 *
 * const mistyped = decodePolicy({ trigger: "onListner" })
 * console.log(Result.isFailure(mistyped) ? mistyped.failure.message : "")
 * // trigger: unknown trigger onListner; did you mean onListener
 * ```
 */
export const decodePolicy = (
  json: unknown,
  registry: Registry = builtinRegistry
): Result.Result<Policy, PolicyError> => {
  requireRegistry("decodePolicy.registry", registry)
  if (isDeeperThan(json, maxDepth)) {
    return Result.fail(
      new PolicyError({ problems: [{ path: [], message: `expected at most ${maxDepth} levels, found more` }] })
    )
  }
  const problems: Array<PolicyProblem> = []
  const policy = read(json, { registry, problems }, [])
  return problems.length > 0 ? Result.fail(new PolicyError({ problems })) : Result.succeed(policy)
}

/** No hand-written policy nests this deep, and no stack holds one without end. */
const maxDepth = 200

const isDeeperThan = (value: unknown, depth: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (depth === 0 || Object.values(value).some((inner) => isDeeperThan(inner, depth - 1)))

interface Reading {
  readonly registry: Registry
  /** The problems found so far. */
  readonly problems: Array<PolicyProblem>
}

/** The placeholder for an unreadable part, so that problems of the others are found as well. */
const placeholder: Policy = never

const isUnknownKind = (kind: unknown): boolean => typeof kind === "string" && !eventKinds.some((each) => each === kind)

const read = (json: unknown, reading: Reading, path: Path): Policy => {
  const { problems } = reading
  const wrong = (key: Path, message: string): Policy => {
    problems.push({ path: [...path, ...key], message })
    return placeholder
  }
  if (typeof json !== "object" || json === null || Array.isArray(json))
    return wrong([], `expected a policy, an object with the name of a trigger, found ${kindOf(json)}`)
  const name: unknown = Reflect.get(json, "trigger")
  if (typeof name !== "string") return wrong(["trigger"], `expected the name of a trigger, found ${kindOf(name)}`)
  const found = shallowCases.get(name)
  if (found === undefined) return wrong(["trigger"], unknownName("trigger", name, [...shallowCases.keys()]))
  const present = name === "onEvent" && "kind" in json ? { ...json, kind: presentKindName(json.kind) } : json
  if (name === "onEvent" && isUnknownKind(Reflect.get(present, "kind")))
    return wrong(["kind"], unknownName("event kind", String(Reflect.get(json, "kind")), eventKinds))
  const decoded = decodeShallow(found.schema)(present)
  if (Result.isFailure(decoded)) {
    for (const problem of problemsOf(decoded.failure.issue, found.fields))
      problems.push({ ...problem, path: [...path, ...problem.path] })
    // Its parts may have problems of their own.
    for (const key of ["of", "first", "second", "other"]) {
      const part: unknown = Reflect.get(json, key)
      if (!found.fields.includes(key) || part === undefined) continue
      if (Array.isArray(part)) part.forEach((one, index) => read(one, reading, [...path, key, index]))
      else read(part, reading, [...path, key])
    }
    return placeholder
  }
  try {
    return build(decoded.success as unknown as Shallow, reading, path)
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    for (const problem of cause.problems)
      problems.push({ ...problem, path: [...path, ...placeIn(found.fields, problem.path)] })
    return placeholder
  }
}

const decodeShallow = (schema: ShallowCase["schema"]) =>
  Schema.decodeUnknownResult(schema, { errors: "all", onExcessProperty: "error" })

const kindOf = (value: unknown): string =>
  value === null || value === undefined ? "nothing" : Array.isArray(value) ? "a list" : `a ${typeof value}`

/** The field of the description for an option that a constructor calls `onIdle.for`, or `quiesce`, `calmFor`. */
const placeIn = (fields: ReadonlyArray<string>, path: Path): Path => {
  if (fields.includes(String(path[0]))) return path
  const option = String(path.at(-1) ?? "")
    .split(".")
    .at(-1)
  const field = fields.find((name) => name === option || name === `${option}Nanos`)
  return field === undefined ? [] : [field]
}

type Part = keyof { readonly [K in keyof Registry as Registry[K] extends ReadonlyMap<string, unknown> ? K : never]: 1 }
const partKinds: Readonly<Record<Part, string>> = {
  triggers: "plug-in",
  probes: "probe",
  effects: "effect",
  predicates: "predicate",
  causeMaps: "cause map",
  schemas: "schema"
}

/** The field in which a description names a part, if not `name`. */
const nameFields: Partial<Record<Part, string>> = { predicates: "predicate", causeMaps: "map" }

const find = <P extends Part>(
  registry: Registry,
  part: P,
  name: string
): Registry[P] extends ReadonlyMap<string, infer A> ? A : never => {
  const parts = registry[part] as ReadonlyMap<string, never>
  const known = parts.get(name)
  if (known !== undefined) return known
  const message = `${unknownName(partKinds[part], name, [...parts.keys()])}: add the package that defines it to the registry`
  throw new PolicyError({
    problems: [{ path: [nameFields[part] ?? "name"], message, unknownPart: { kind: part, name } }]
  })
}

const readConfig = <A>(schema: Schema.Codec<A, Schema.Json>, config: Schema.Json): A => {
  const decoded = Schema.decodeUnknownResult(schema, { errors: "all" })(config)
  if (Result.isSuccess(decoded)) return decoded.success
  throw new PolicyError({
    problems: problemsOf(decoded.failure.issue, []).map(({ message, path }) => ({ path: ["config", ...path], message }))
  })
}

/** A description whose parts are unchecked JSON. */
type Shallow = PolicyDescription extends infer D
  ? D extends unknown
    ? { readonly [K in keyof D]: D[K] extends PolicyDescription ? unknown : D[K] }
    : never
  : never

const build = (description: Shallow, reading: Reading, path: Path): Policy => {
  const { registry } = reading
  const at = (inner: unknown, ...key: Path): Policy => read(inner, reading, [...path, ...key])
  const nanosOf = (nanos: number): bigint => BigInt(nanos)
  switch (description.trigger) {
    case "never":
      return never
    case "afterGuestTime":
      return afterGuestTime(nanosOf(description.nanos))
    case "atHeartbeat":
      return atHeartbeat(description.count, { console: description.console ?? false })
    case "onEvent":
      return onEvent(description.kind)
    case "onPreExec":
      return onPreExec({
        console: description.console ?? false,
        ...(description.consoleHoldNanos === undefined ? {} : { consoleHold: nanosOf(description.consoleHoldNanos) })
      })
    case "onListener": {
      const { trigger: _, ...listener } = description
      return onListener(listener)
    }
    case "onConnection": {
      const { trigger: _trigger, ...filter } = description
      return onConnection(filter)
    }
    case "onRequestServed":
      return onRequestServed(description.count, description.port === undefined ? {} : { port: description.port })
    case "onParked":
      return onParked()
    case "onIdle":
      return onIdle(nanosOf(description.nanos))
    case "onSerialMatch":
      return onSerialMatch(patternOf(description), { port: description.port ?? 0 })
    case "onSerialText":
      return onSerialText(patternOf(description), { port: description.port ?? 0 })
    case "onCustom":
      return description.hasSchema === true
        ? onCustom(description.name, find(registry, "schemas", description.name))
        : onCustom(description.name)
    case "onDirtyRateBelow":
      return onDirtyRateBelow(description.pagesPerSecond, nanosOf(description.windowNanos))
    case "fromEffect": {
      const { name, onFailure } = description
      return fromEffect(name, find(registry, "effects", name), onFailure === undefined ? {} : { onFailure })
    }
    case "plugin": {
      const plugin = find(registry, "triggers", description.name)
      return plugin(readConfig(plugin.definition.config, description.config) as never)
    }
    case "probe": {
      const probe = find(registry, "probes", description.name)
      return probe(readConfig(probe.definition.config, description.config) as never)
    }
    case "firstOf":
      return firstOf(description.of.map((one, index) => at(one, "of", index)))
    case "precedence":
      return precedence(description.of.map((one, index) => at(one, "of", index)))
    case "allOf":
      return allOf(description.of.map((one, index) => at(one, "of", index)))
    case "then":
      return andThen(at(description.first, "first"), at(description.second, "second"))
    case "within":
      return within(at(description.of, "of"), nanosOf(description.nanos))
    case "atLatest":
      return atLatest(at(description.of, "of"), nanosOf(description.nanos))
    case "debounce":
      return debounce(at(description.of, "of"), nanosOf(description.nanos))
    case "orElseAfter":
      return orElseAfter(at(description.of, "of"), nanosOf(description.nanos), at(description.other, "other"))
    case "repeat":
      return repeat(at(description.of, "of"), description.times === undefined ? {} : { times: description.times })
    case "filter": {
      const { predicate } = description
      return filter(at(description.of, "of"), predicate, find(registry, "predicates", predicate))
    }
    case "mapCause": {
      const { map } = description
      return mapCause(at(description.of, "of"), map, find(registry, "causeMaps", map))
    }
    case "named":
      return named(at(description.of, "of"), description.name)
    case "quiesce": {
      const { activity, agent, calmForNanos, deadlineNanos, onDeadline } = description
      return quiesce(at(description.of, "of"), {
        calmFor: nanosOf(calmForNanos),
        deadline: deadlineNanos === null ? "none" : nanosOf(deadlineNanos),
        activity,
        agent,
        onDeadline
      })
    }
  }
}

const patternOf = (
  description: Extract<PolicyDescription, { readonly trigger: "onSerialMatch" | "onSerialText" }>
): string | RegExp => {
  const { flags, regex, text } = description
  if (text !== undefined && regex === undefined) return text
  try {
    if (regex !== undefined && text === undefined) return new RegExp(regex, flags ?? "")
  } catch (cause) {
    throw new PolicyError({ problems: [{ path: ["regex"], message: String(cause) }] })
  }
  throw new PolicyError({ problems: [{ path: [], message: "expected either text or regex" }] })
}
