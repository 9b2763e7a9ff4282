/**
 * What is wrong with options, before anything is booted for them.
 *
 * @module
 */
import { Duration, Option } from "effect"

/** Problems of a duration: that it is none, or negative. */
export const durationProblems = (name: string, input: Duration.Input | undefined): ReadonlyArray<string> => {
  if (input === undefined) return []
  const millis = Option.map(Duration.fromInput(input), Duration.toMillis)
  return Option.isSome(millis) && millis.value >= 0 && !Number.isNaN(input)
    ? []
    : [`${name}: expected a duration of 0 or more, such as "10 seconds", found ${JSON.stringify(input)}`]
}

/** Problems of a count. */
export const countProblems = (name: string, found: number | undefined, least: number): ReadonlyArray<string> =>
  found === undefined || (Number.isSafeInteger(found) && found >= least)
    ? []
    : [`${name}: expected a whole number of ${least} or more, found ${found}`]

/** Problems of names that options do not have. `known` lists the ones that they have. */
export const unknownProblems = (
  name: string,
  options: object | undefined,
  known: Readonly<Record<string, true>>
): ReadonlyArray<string> =>
  Object.keys(options ?? {})
    .filter((key) => !Object.hasOwn(known, key))
    .map((key) => `${name}.${key}: no such option; there are ${Object.keys(known).join(", ")}`)

/** Problems of a choice between yes and no. */
export const flagProblems = (name: string, found: unknown): ReadonlyArray<string> =>
  found === undefined || typeof found === "boolean"
    ? []
    : [`${name}: expected true or false, found ${JSON.stringify(found)}`]

/** What of a gate's options can be wrong before anything is known of the snapshot. */
interface GateLimits {
  readonly guestTimeout?: Duration.Input
  readonly hostTimeout?: Duration.Input
  readonly clockTolerance?: Duration.Input
  readonly hookTimeout?: Duration.Input
  readonly signal?: number
}

/** Problems of how clones are taken through their gate. */
export const gateProblems = (name: string, gate: GateLimits | undefined): ReadonlyArray<string> => [
  ...durationProblems(`${name}.guestTimeout`, gate?.guestTimeout),
  ...durationProblems(`${name}.hostTimeout`, gate?.hostTimeout),
  ...durationProblems(`${name}.clockTolerance`, gate?.clockTolerance),
  ...durationProblems(`${name}.hookTimeout`, gate?.hookTimeout),
  ...countProblems(`${name}.signal`, gate?.signal, 1)
]
