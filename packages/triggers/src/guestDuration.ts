/**
 * Durations of guest time: whole nanoseconds, from 0 to the guest's horizon.
 *
 * @module
 */
import { describeValue, readDuration } from "@stillpoint/core"
import { Duration, Option } from "effect"
import { refuse } from "./PolicyError.ts"

/** Guest time that no machine passes: 2^53 - 1 ns, 104 days. */
export const horizonNanos: number = Number.MAX_SAFE_INTEGER

/** Nanoseconds of a duration; `what` names it in the {@link PolicyError} for an invalid one. */
export const toGuestNanos = (what: string, value: unknown): number => {
  // Reading it detects an invalid duration.
  const input = value as Duration.Input
  const nanos = Option.getOrUndefined(readNanos(input))
  if (nanos === undefined || nanos < 0n || nanos > BigInt(horizonNanos)) {
    return refuse(what, 'a duration such as "20 millis", of whole nanoseconds from 0 to 2^53 - 1 ns', describe(input))
  }
  return Number(nanos)
}

/** Reads the duration that a combinator is called with. */
export const durationOf =
  (what: string) =>
  (input: Duration.Input): number =>
    toGuestNanos(what, input)

const readNanos = (input: Duration.Input): Option.Option<bigint> => {
  // A fraction of a nanosecond or NaN would be rounded away, and a negative number clamped, before anyone saw it.
  if (typeof input === "number" && (!Number.isFinite(input) || input < 0)) return Option.none()
  return Option.flatMap(readDuration(input), (duration) => Duration.toNanos(duration))
}

const describe = (input: Duration.Input): string =>
  Duration.isDuration(input)
    ? Duration.format(input)
    : typeof input === "bigint"
      ? `${input} ns`
      : typeof input === "string"
        ? JSON.stringify(input)
        : describeValue(input)
