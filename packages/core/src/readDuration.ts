/**
 * Reads durations from callers, who may not use types.
 *
 * @module
 */
import { Duration, Option } from "effect"

const units: ReadonlySet<string> = new Set([
  "weeks",
  "days",
  "hours",
  "minutes",
  "seconds",
  "milliseconds",
  "microseconds",
  "nanoseconds"
])

/** A record is a duration by the units in it: without one it says nothing, and is not 0. */
const hasUnits = (input: object): boolean =>
  Duration.isDuration(input) ||
  Array.isArray(input) ||
  (Object.keys(input).length > 0 &&
    Object.entries(input).every(([unit, count]) => units.has(unit) && typeof count === "number"))

/**
 * The duration that an input means; none for an invalid one: not a number, an unreadable text, an object without units.
 *
 * @example
 * ```ts
 * import { readDuration } from "@stillpoint/core"
 * import { Option } from "effect"
 *
 * console.log(Option.isSome(readDuration("2 seconds")), Option.isSome(readDuration({}))) // true false
 * ```
 */
export const readDuration = (input: unknown): Option.Option<Duration.Duration> => {
  if (Number.isNaN(input)) return Option.none()
  if (typeof input === "object" && (input === null || !hasUnits(input))) return Option.none()
  return Duration.fromInput(input as Duration.Input)
}
