/**
 * Reads policies from JSON.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onCustom } from "../builtin/onCustom.ts"
import { onDirtyRateBelow } from "../builtin/onDirtyRateBelow.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onIdle } from "../builtin/onIdle.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { onSerialMatch } from "../builtin/onSerialMatch.ts"
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
import { PolicyError } from "../PolicyError.ts"
import { fromEffect } from "./fromEffect.ts"
import { PolicyDescription } from "./PolicyDescription.ts"
import { builtinRegistry, type Registry, UnknownPart } from "./Registry.ts"

type Path = ReadonlyArray<string | number>

const decodeDescription = Schema.decodeUnknownResult(PolicyDescription, { errors: "all", onExcessProperty: "error" })

/**
 * The policy that a JSON value describes, as `Policy.description` wrote it. Parts that are not built in are taken from the
 * registry; one that it does not know is an {@link UnknownPart} that names it.
 *
 * @example
 * ```ts
 * import { decodePolicy, onPreExec, within } from "@stillpoint/triggers"
 * import { Result } from "effect"
 *
 * const written = JSON.stringify(within(onPreExec(), "5 seconds").description)
 * console.log(Result.getOrThrow(decodePolicy(JSON.parse(written))).name) // within(onPreExec, 5 s)
 * ```
 */
export const decodePolicy = (
  json: unknown,
  registry: Registry = builtinRegistry
): Result.Result<Policy, PolicyError | UnknownPart> => {
  if (isDeeperThan(json, maxDepth)) {
    return Result.fail(
      new PolicyError({ problems: [{ path: [], message: `expected at most ${maxDepth} levels, found more` }] })
    )
  }
  const description = decodeDescription(json)
  if (Result.isFailure(description)) {
    return Result.fail(new PolicyError({ problems: [{ path: [], message: description.failure.message }] }))
  }
  try {
    return Result.succeed(build(description.success, registry, []))
  } catch (cause) {
    if (cause instanceof PolicyError || cause instanceof UnknownPart) return Result.fail(cause)
    throw cause
  }
}

/** No policy that a person wrote is nested like that, and no stack holds one that is without end. */
const maxDepth = 200

const isDeeperThan = (value: unknown, depth: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (depth === 0 || Object.values(value).some((inner) => isDeeperThan(inner, depth - 1)))

const find = <A>(parts: ReadonlyMap<string, A>, kind: UnknownPart["kind"], name: string, path: Path): A => {
  const part = parts.get(name)
  if (part === undefined) throw new UnknownPart({ kind, name, path: [...path], known: [...parts.keys()] })
  return part
}

const readConfig = <A>(schema: Schema.Codec<A, Schema.Json>, config: Schema.Json, path: Path): A => {
  const read = Schema.decodeUnknownResult(schema, { errors: "all" })(config)
  if (Result.isSuccess(read)) return read.success
  throw new PolicyError({ problems: [{ path: [...path, "config"], message: read.failure.message }] })
}

const build = (description: PolicyDescription, registry: Registry, path: Path): Policy => {
  const at = (inner: PolicyDescription, ...key: Path): Policy => build(inner, registry, [...path, ...key])
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
        hold: description.holdNanos === null ? "until-go" : nanosOf(description.holdNanos),
        console: description.console ?? false
      })
    case "onListener": {
      const { trigger: _, ...listener } = description
      return onListener(listener)
    }
    case "onParked":
      return onParked()
    case "onIdle":
      return onIdle(nanosOf(description.nanos))
    case "onSerialMatch":
      return onSerialMatch(patternOf(description, path), { port: description.port ?? 0 })
    case "onCustom":
      return description.hasSchema === true
        ? onCustom(description.name, find(registry.schemas, "schema", description.name, path))
        : onCustom(description.name)
    case "onDirtyRateBelow":
      return onDirtyRateBelow(description.pagesPerSecond, nanosOf(description.windowNanos))
    case "fromEffect": {
      const { name, onFailure } = description
      return fromEffect(
        name,
        find(registry.effects, "effect", name, path),
        onFailure === undefined ? {} : { onFailure }
      )
    }
    case "plugin": {
      const plugin = find(registry.triggers, "trigger", description.name, path)
      return plugin(readConfig(plugin.definition.config, description.config, path) as never)
    }
    case "probe": {
      const probe = find(registry.probes, "probe", description.name, path)
      return probe(readConfig(probe.definition.config, description.config, path) as never)
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
      return filter(at(description.of, "of"), predicate, find(registry.predicates, "predicate", predicate, path))
    }
    case "mapCause": {
      const { map } = description
      return mapCause(at(description.of, "of"), map, find(registry.causeMaps, "causeMap", map, path))
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
  description: Extract<PolicyDescription, { readonly trigger: "onSerialMatch" }>,
  path: Path
): string | RegExp => {
  const { flags, regex, text } = description
  if (text !== undefined && regex === undefined) return text
  try {
    if (regex !== undefined && text === undefined) return new RegExp(regex, flags ?? "")
  } catch (cause) {
    throw new PolicyError({ problems: [{ path: [...path, "regex"], message: String(cause) }] })
  }
  throw new PolicyError({ problems: [{ path: [...path], message: "expected either text or regex" }] })
}
