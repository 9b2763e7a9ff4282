/**
 * Checks a gate's options and the chosen identity, before anything is opened or booted.
 *
 * @module
 */
import { Redacted, Schema } from "effect"
import { describeValue } from "../describeValue.ts"
import {
  Entropy,
  EnvironmentName,
  expectedPart,
  Hostname,
  MachineId,
  PlainText,
  SignalNumber
} from "../IdentityParts.ts"
import type { IdentityChoice } from "./FreshIdentity.ts"
import type { GateOptions } from "./GateOptions.ts"
import {
  diskSourcesProblems,
  durationProblems,
  flagProblems,
  isFunction,
  isRecord,
  isText,
  kindProblems,
  orAbsent,
  unknownProblems
} from "../optionProblems.ts"

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

const isSignal = Schema.is(SignalNumber)

/** Problems of how clones are taken through their gate. */
export const gateProblems = (name: string, given: GateOptions | undefined): ReadonlyArray<string> => {
  const gate: unknown = given
  if (gate === undefined) return []
  if (!isRecord(gate)) return kindProblems(name, gate, "the options of a gate", isRecord)
  return [
    ...unknownProblems(name, gate, gateNames),
    ...kindProblems(`${name}.digest`, gate["digest"], "the digest of a snapshot", orAbsent(isText)),
    ...flagProblems(`${name}.allowUnvalidated`, gate["allowUnvalidated"]),
    ...diskSourcesProblems(`${name}.diskSources`, gate["diskSources"]),
    ...kindProblems(`${name}.onState`, gate["onState"], "a function", orAbsent(isFunction)),
    ...identityProblems(`${name}.identity`, gate["identity"]),
    ...["guestTimeout", "hostTimeout", "clockTolerance", "hookTimeout"].flatMap((time) =>
      durationProblems(`${name}.${time}`, gate[time])
    ),
    ...kindProblems(
      `${name}.signal`,
      gate["signal"],
      "the number of a signal, 1 to 64",
      orAbsent((value) => isSignal(value) && value > 0)
    )
  ]
}

const identityNames = {
  entropy: true,
  realtimeNanos: true,
  hostname: true,
  machineId: true,
  env: true
} as const satisfies Record<keyof IdentityChoice, true>

const isTime = (value: unknown): boolean => typeof value === "bigint" && value > 0n && value < 2n ** 63n
const orNull = (isOne: (value: unknown) => boolean) => orAbsent((value) => value === null || isOne(value))

/** Problems of a chosen identity. Its values may be secret, so a problem names their kind only. */
const identityProblems = (name: string, identity: unknown): ReadonlyArray<string> => {
  if (identity === undefined) return []
  if (!isRecord(identity)) return kindProblems(name, identity, "parts of an identity", isRecord)
  return [
    ...unknownProblems(name, identity, identityNames),
    ...entropyProblems(`${name}.entropy`, identity["entropy"]),
    ...kindProblems(
      `${name}.realtimeNanos`,
      identity["realtimeNanos"],
      "nanoseconds since 1970, above 0 and below 2n ** 63n, as a bigint",
      orNull(isTime)
    ),
    ...kindProblems(`${name}.hostname`, identity["hostname"], expectedPart.hostname, orNull(Schema.is(Hostname))),
    ...kindProblems(`${name}.machineId`, identity["machineId"], expectedPart.machineId, orNull(Schema.is(MachineId))),
    ...environmentProblems(`${name}.env`, identity["env"])
  ]
}

const isEntropy = Schema.is(Entropy)

const entropyProblems = (name: string, entropy: unknown): ReadonlyArray<string> => {
  if (entropy === undefined || isEntropy(entropy)) return []
  const found = entropy instanceof Uint8Array ? `${entropy.length} bytes` : `${typeof entropy} instead of bytes`
  return [`${name}: expected ${expectedPart.entropy}, found ${found}`]
}

const isName = Schema.is(EnvironmentName)
const isValue = Schema.is(PlainText)

const environmentProblems = (name: string, env: unknown): ReadonlyArray<string> => {
  if (env === undefined) return []
  if (!isRecord(env)) return [`${name}: expected texts by name, found ${typeof env} instead of a record`]
  return Object.entries(env).flatMap(([variable, value]) => {
    const given = Redacted.isRedacted(value) ? Redacted.value(value) : value
    return [
      ...(isName(variable) ? [] : [`${name}: expected ${expectedPart.name}, found ${describeValue([variable])}`]),
      ...(isValue(given)
        ? []
        : [
            `${name}.${variable}: expected ${expectedPart.text}, found ${isText(given) ? "one with some" : typeof given}`
          ])
    ]
  })
}
