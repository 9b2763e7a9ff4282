/**
 * Why a recorded timeline was refused.
 *
 * @module
 */
import { Schema } from "effect"

/** Why a recorded timeline was refused; `line` counts from 1. */
export const TimelineReason = Schema.TaggedUnion({
  /** The file is empty. */
  Empty: {},
  /** The first line is not the header of a recorded timeline. */
  NotATimeline: { message: Schema.String },
  /** The header has a version that this build does not know. */
  UnknownVersion: { found: Schema.Json, known: Schema.Natural },
  /** A line is not an event. */
  Garbage: { line: Schema.Natural, message: Schema.String },
  /** An event is out of order: a gap, a repetition, or time that goes back. */
  OutOfOrder: { line: Schema.Natural, message: Schema.String },
  /** The end line contradicts the preceding lines, or is not the last line. */
  WrongEnd: { line: Schema.Natural, message: Schema.String },
  /** A line is longer than any event can be. */
  LineTooLong: { line: Schema.Natural, limitBytes: Schema.Natural }
})
export type TimelineReason = typeof TimelineReason.Type

const messageOf = (reason: TimelineReason): string => {
  switch (reason._tag) {
    case "Empty":
      return "expected a recorded timeline, found an empty file"
    case "NotATimeline":
      return `line 1: expected the header of a recorded timeline: ${reason.message}`
    case "UnknownVersion":
      return `line 1: expected a timeline of version ${reason.known} or older, found ${JSON.stringify(reason.found)}: use a later build`
    case "Garbage":
      return `line ${reason.line}: expected an event: ${reason.message}`
    case "OutOfOrder":
    case "WrongEnd":
      return `line ${reason.line}: ${reason.message}`
    case "LineTooLong":
      return `line ${reason.line}: expected at most ${reason.limitBytes} bytes`
  }
}

/** A recorded timeline cannot be read. */
export class TimelineError extends Schema.TaggedError<TimelineError>()("TimelineError", { reason: TimelineReason }) {
  override get message(): string {
    return messageOf(this.reason)
  }
}
