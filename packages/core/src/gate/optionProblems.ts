/**
 * What is wrong with options, before anything is booted for them.
 *
 * @module
 */
import { Duration, Option, Redacted } from "effect"
import { describeValue } from "../describeValue.ts"
import { readDuration } from "../readDuration.ts"
import type { IdentityChoice } from "./FreshIdentity.ts"
import type { GateOptions } from "./GateOptions.ts"

/** Problems of a duration: that it is none, or negative. */
export const durationProblems = (name: string, input: Duration.Input | undefined): ReadonlyArray<string> => {
  if (input === undefined) return []
  const millis = Option.map(readDuration(input), Duration.toMillis)
  return Option.isSome(millis) && millis.value >= 0
    ? []
    : [`${name}: expected a duration of 0 or more, such as "10 seconds", found ${describeValue(input)}`]
}

/** Problems of a count. */
export const countProblems = (name: string, found: number | undefined, least: number): ReadonlyArray<string> =>
  found === undefined || (Number.isSafeInteger(found) && found >= least)
    ? []
    : [`${name}: expected a whole number of ${least} or more, found ${describeValue(found)}`]

/** Problems of names that options do not have. `known` lists the ones that they have. */
export const unknownProblems = (
  name: string,
  options: object | undefined,
  known: Readonly<Record<string, true>>
): ReadonlyArray<string> =>
  Object.keys(isRecord(options) ? options : {})
    .filter((key) => !Object.hasOwn(known, key))
    .map((key) => `${name}.${key}: no such option; there are ${Object.keys(known).join(", ")}`)

/** Problems of what is not one of its kind. */
export const kindProblems = (
  name: string,
  found: unknown,
  expected: string,
  isOne: (value: unknown) => boolean
): ReadonlyArray<string> => (isOne(found) ? [] : [`${name}: expected ${expected}, found ${describeValue(found)}`])

/** Whether it is a record: a program without types may have anything in its place. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const isText = (value: unknown): value is string => typeof value === "string"
export const isFunction = (value: unknown): boolean => typeof value === "function"
export const orAbsent =
  (isOne: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    value === undefined || isOne(value)

/** Problems of a choice between yes and no. */
export const flagProblems = (name: string, found: unknown): ReadonlyArray<string> =>
  found === undefined || typeof found === "boolean"
    ? []
    : [`${name}: expected true or false, found ${describeValue(found)}`]

/** What of a gate's options can be wrong before anything is known of the snapshot. */
interface GateLimits {
  readonly guestTimeout?: Duration.Input
  readonly hostTimeout?: Duration.Input
  readonly clockTolerance?: Duration.Input
  readonly hookTimeout?: Duration.Input
  readonly signal?: number
  readonly identity?: unknown
  readonly onState?: unknown
}

const gateNames = {
  digest: true,
  allowUnvalidated: true,
  diskSources: true,
  identity: true,
  guestTimeout: true,
  hostTimeout: true,
  clockTolerance: true,
  hookTimeout: true,
  signal: true,
  onState: true
} as const satisfies Record<keyof GateOptions, true>

const identityNames = {
  entropy: true,
  realtimeNanos: true,
  hostname: true,
  machineId: true,
  env: true
} as const satisfies Record<keyof IdentityChoice, true>

/** Problems of how clones are taken through their gate. */
export const gateProblems = (name: string, gate: GateLimits | undefined): ReadonlyArray<string> => {
  if (gate === undefined) return []
  if (!isRecord(gate)) return kindProblems(name, gate, "the options of a gate", isRecord)
  return [...unknownProblems(name, gate, gateNames), ...partProblems(name, gate), ...limitProblems(name, gate)]
}

const partProblems = (name: string, gate: GateLimits): ReadonlyArray<string> => [
  ...kindProblems(`${name}.onState`, gate.onState, "a function", orAbsent(isFunction)),
  ...identityProblems(`${name}.identity`, gate.identity)
]

const identityProblems = (name: string, identity: unknown): ReadonlyArray<string> => {
  if (identity === undefined) return []
  if (!isRecord(identity)) return kindProblems(name, identity, "parts of an identity", isRecord)
  const orNull = (isOne: (value: unknown) => boolean) => orAbsent((value) => value === null || isOne(value))
  return [
    ...unknownProblems(name, identity, identityNames),
    ...kindProblems(
      `${name}.entropy`,
      identity["entropy"],
      "bytes",
      orAbsent((value) => value instanceof Uint8Array)
    ),
    ...kindProblems(
      `${name}.realtimeNanos`,
      identity["realtimeNanos"],
      "nanoseconds since 1970, above 0, as a bigint",
      orNull((value) => typeof value === "bigint" && value > 0n)
    ),
    ...kindProblems(`${name}.hostname`, identity["hostname"], "a text", orNull(isText)),
    ...kindProblems(`${name}.machineId`, identity["machineId"], "a text", orNull(isText)),
    ...kindProblems(`${name}.env`, identity["env"], "texts by name", orAbsent(isEnvironment))
  ]
}

const isEnvironment = (value: unknown): boolean =>
  isRecord(value) && Object.values(value).every((one) => isText(one) || Redacted.isRedacted(one))

const limitProblems = (name: string, gate: GateLimits): ReadonlyArray<string> => [
  ...durationProblems(`${name}.guestTimeout`, gate.guestTimeout),
  ...durationProblems(`${name}.hostTimeout`, gate.hostTimeout),
  ...durationProblems(`${name}.clockTolerance`, gate.clockTolerance),
  ...durationProblems(`${name}.hookTimeout`, gate.hookTimeout),
  ...countProblems(`${name}.signal`, gate.signal, 1)
]
