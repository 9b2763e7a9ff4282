/**
 * The header of a recorded timeline, which describes the recorded run.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import { contractVersion } from "../contract/contract.ts"
import { GuestActivity } from "../GuestActivity.ts"
import { GuestNanos } from "../GuestEvent.ts"

/** Name of the format, as the first line of every recording says it. */
export const timelineFormat = "stillpoint-timeline"

/** Version of the format that this build writes, and the newest that it reads: the version of the events' contract. */
export const timelineVersion = contractVersion

/** A SHA-256 digest, 64 lower-case hexadecimal digits. */
const Digest = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** First line of a recording: enough to make the same run again. */
export const TimelineHeader = Schema.Struct({
  format: Schema.Literal(timelineFormat),
  version: Schema.Literal(timelineVersion),
  /** Name of the engine, e.g. `soft`. */
  engine: Schema.String,
  /** SHA-256 of the kernel; `null` if unknown. */
  kernelDigest: Schema.NullOr(Digest),
  /** SHA-256 of the initial RAM file system; `null` if there is none or it is unknown. */
  initrdDigest: Schema.NullOr(Digest),
  /** The machine's and the guest's configuration. */
  configuration: Schema.Record(Schema.String, Schema.Json),
  /** Seed of every random byte; `null` if the host's randomness was used. */
  seed: Schema.NullOr(Schema.Natural),
  /** `seq` of the first event. */
  firstSeq: Schema.Natural.pipe(Schema.withDecodingDefaultKey(Effect.succeed(0))),
  /** The guest's activity before it; absent if it had executed nothing. */
  beginning: Schema.optionalKey(GuestActivity)
})
export type TimelineHeader = typeof TimelineHeader.Type

/** Last line of a recording that was ended in order, told from the events by its `_tag`. */
export const TimelineEnd = Schema.TaggedStruct("TimelineEnd", {
  /** Guest time that was reached. */
  atNanos: GuestNanos,
  /** Why the last run stopped. */
  reason: Schema.Literals(["event", "time", "budget", "idle", "halted", "reset", "fault", "paused", "horizon"]),
  /** Number of events before this line. */
  events: Schema.Natural
})
export type TimelineEnd = typeof TimelineEnd.Type
