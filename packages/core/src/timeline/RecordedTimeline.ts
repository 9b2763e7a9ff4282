/**
 * A guest's timeline on disk: newline-delimited JSON.
 *
 * ```text
 * {"format":"stillpoint-timeline","version":2,"engine":"soft",…}          the header
 * {"_tag":"SerialLine","seq":0,"atNanos":81234,"port":0,"text":"…"}        one event a line, in order
 * …
 * {"_tag":"TimelineEnd","atNanos":4000000000,"reason":"time","events":512} the end; missing if the writer was cut off
 * ```
 *
 * Recordings of older versions are read and upcast.
 *
 * A last line that is cut off (no newline, no JSON) is left out and reported; anything else that is not as it should be is
 * refused with its line number.
 *
 * @module
 */
import { Effect, Result, Schema, Stream } from "effect"
import { upcastGuestEvent } from "../contract/upcasts.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { decodeEventValue, encodeEventLine, isPlainEvent } from "./eventLine.ts"
import { TimelineEnd, timelineFormat, TimelineHeader, timelineVersion } from "./TimelineHeader.ts"
import { TimelineError, type TimelineReason } from "./TimelineError.ts"

/** A last line that was cut off. */
export interface TornLine {
  /** Counted from 1. */
  readonly line: number
  readonly sizeBytes: number
}

/** A recording in memory. */
export interface RecordedTimeline {
  readonly header: TimelineHeader
  readonly events: ReadonlyArray<GuestEvent>
  /** Its end; `null` if the writer was interrupted. */
  readonly end: TimelineEnd | null
  /** The last line, if it was cut off and left out. */
  readonly torn: TornLine | null
}

/** Part of a recording, as it is read. */
export type TimelinePart =
  | { readonly _tag: "Header"; readonly header: TimelineHeader }
  | { readonly _tag: "Events"; readonly events: ReadonlyArray<GuestEvent> }
  | { readonly _tag: "End"; readonly end: TimelineEnd }
  | { readonly _tag: "Torn"; readonly torn: TornLine }

/** Longest line: the largest frame of the control port, as escaped text, many times over. */
const lineLimitBytes = 4 * 1024 * 1024
const newline = 0x0a

const headerKeys: ReadonlyArray<keyof TimelineHeader> = [
  "format",
  "version",
  "engine",
  "kernelDigest",
  "initrdDigest",
  "configuration",
  "seed",
  "firstSeq",
  "beginning"
]

/** The header as one line, without its newline. */
export const encodeHeaderLine = (header: TimelineHeader): string =>
  JSON.stringify(Object.fromEntries(headerKeys.map((key) => [key, header[key]])))

/** The end as one line, without its newline. */
export const encodeEndLine = (end: TimelineEnd): string =>
  JSON.stringify({ _tag: end._tag, atNanos: end.atNanos, reason: end.reason, events: end.events })

/** A whole recording as bytes. Equal recordings give equal bytes. */
export const encodeTimeline = (timeline: Omit<RecordedTimeline, "torn">): Uint8Array => {
  const { end, events, header } = timeline
  const pieces = [Buffer.from(`${encodeHeaderLine(header)}\n`)]
  // No string holds the lines of some million events.
  for (let from = 0; from < events.length; from += eventsPerPiece) {
    const lines = events.slice(from, from + eventsPerPiece).map(encodeEventLine)
    pieces.push(Buffer.from(`${lines.join("\n")}\n`))
  }
  if (end !== null) pieces.push(Buffer.from(`${encodeEndLine(end)}\n`))
  const all = Buffer.concat(pieces)
  return new Uint8Array(all.buffer, all.byteOffset, all.byteLength)
}

/** Written as one string, and read as one, at the most. */
const eventsPerPiece = 10_000
const bytesPerPiece = 16 * 1024 * 1024

/** A recording as bytes while it happens: the header, then events as they come; the end is the stream's own, if it is known then. */
export const encodeTimelineStream = <E, R>(
  header: TimelineHeader,
  events: Stream.Stream<GuestEvent, E, R>,
  end: Effect.Effect<TimelineEnd | null> = Effect.succeed(null)
): Stream.Stream<Uint8Array, E, R> => {
  const encoder = new TextEncoder()
  const bytes = (line: string): Uint8Array => encoder.encode(`${line}\n`)
  return Stream.make(bytes(encodeHeaderLine(header))).pipe(
    Stream.concat(events.pipe(Stream.mapArray((chunk) => [bytes(chunk.map(encodeEventLine).join("\n"))] as const))),
    Stream.concat(
      Stream.fromArrayEffect(Effect.map(end, (value) => (value === null ? [] : [bytes(encodeEndLine(value))])))
    )
  )
}

/** A whole recording from bytes. */
export const decodeTimeline = (bytes: Uint8Array): Result.Result<RecordedTimeline, TimelineError> => {
  const decoder = new TimelineDecoder()
  const parts: Array<TimelinePart> = []
  for (let from = 0; from < bytes.length; from += bytesPerPiece) {
    const read = decoder.push(bytes.subarray(from, from + bytesPerPiece))
    if (Result.isFailure(read)) return Result.fail(read.failure)
    parts.push(...read.success)
  }
  const rest = decoder.finish()
  if (Result.isFailure(rest)) return Result.fail(rest.failure)
  return Result.succeed(assembleTimeline([...parts, ...rest.success]))
}

/**
 * The recording whose parts a decoder has told, from its header to its end.
 *
 * @example
 * ```ts
 * import { assembleTimeline, decodeTimelineStream } from "@stillpoint/core"
 * import { Effect, Stream } from "effect"
 *
 * const parts = Stream.runCollect(decodeTimelineStream(Stream.empty))
 * const whole = Effect.map(parts, assembleTimeline)
 * console.log((await Effect.runPromise(Effect.flip(whole))).reason._tag) // Empty
 * ```
 */
export const assembleTimeline = (parts: ReadonlyArray<TimelinePart>): RecordedTimeline => {
  let header: TimelineHeader | undefined
  let end: TimelineEnd | null = null
  let torn: TornLine | null = null
  const pieces: Array<ReadonlyArray<GuestEvent>> = []
  for (const part of parts) {
    if (part._tag === "Header") header = part.header
    else if (part._tag === "Events") pieces.push(part.events)
    else if (part._tag === "End") end = part.end
    else torn = part.torn
  }
  // A decoder that has finished without an error has seen a header.
  return { header: header as TimelineHeader, events: pieces.flat(), end, torn }
}

/** A recording as it is read, in parts; the header comes first, torn last lines last. */
export const decodeTimelineStream = <E, R>(
  bytes: Stream.Stream<Uint8Array, E, R>
): Stream.Stream<TimelinePart, E | TimelineError, R> =>
  Stream.suspend(() => {
    const decoder = new TimelineDecoder()
    return bytes.pipe(
      Stream.mapEffect((chunk) => Effect.suspend(() => Effect.fromResult(decoder.push(chunk)))),
      Stream.concat(Stream.fromEffect(Effect.suspend(() => Effect.fromResult(decoder.finish())))),
      Stream.flattenIterable
    )
  })

const decodeHeader = Schema.decodeUnknownResult(TimelineHeader, { errors: "all", onExcessProperty: "ignore" })
const decodeEnd = Schema.decodeUnknownResult(TimelineEnd, { errors: "all", onExcessProperty: "error" })

/** Reads a recording piece by piece, wherever the pieces are cut. */
export class TimelineDecoder {
  private pending: Array<Uint8Array> = []
  private pendingBytes = 0
  private line = 0
  private nextSeq = 0
  private lastNanos = 0
  private eventCount = 0
  private hasHeader = false
  /** Version that the recording was written in. */
  private version: number = timelineVersion
  private hasEnded = false
  private readonly text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

  /** The next piece of the file. */
  push(chunk: Uint8Array): Result.Result<ReadonlyArray<TimelinePart>, TimelineError> {
    const parts: Array<TimelinePart> = []
    const events: Array<GuestEvent> = []
    const to = chunk.lastIndexOf(newline)
    if (to !== -1) {
      const failure = this.takeLines(this.whole(chunk.subarray(0, to)), parts, events)
      if (failure !== null) return Result.fail(new TimelineError({ reason: failure }))
    }
    if (to + 1 < chunk.length) {
      this.pending.push(chunk.slice(to + 1))
      this.pendingBytes += chunk.length - (to + 1)
      if (this.pendingBytes > lineLimitBytes) {
        return Result.fail(
          new TimelineError({ reason: { _tag: "LineTooLong", line: this.line + 1, limitBytes: lineLimitBytes } })
        )
      }
    }
    if (events.length > 0) insertEvents(parts, events)
    return Result.succeed(parts)
  }

  /** The file is over. */
  finish(): Result.Result<ReadonlyArray<TimelinePart>, TimelineError> {
    const parts: Array<TimelinePart> = []
    const events: Array<GuestEvent> = []
    if (this.pendingBytes > 0) {
      const last = this.whole(new Uint8Array(0))
      // The header is written together with the first events; without it the rest cannot be interpreted.
      const isTorn = this.hasHeader && !this.hasEnded && !isJson(this.text, last)
      if (isTorn) parts.push({ _tag: "Torn", torn: { line: this.line + 1, sizeBytes: last.length } })
      else {
        const failure = this.takeLines(last, parts, events)
        if (failure !== null) return Result.fail(new TimelineError({ reason: failure }))
      }
    }
    if (!this.hasHeader) return Result.fail(new TimelineError({ reason: { _tag: "Empty" } }))
    if (events.length > 0) insertEvents(parts, events)
    return Result.succeed(parts)
  }

  private whole(tail: Uint8Array): Uint8Array {
    if (this.pending.length === 0) return tail
    const whole = new Uint8Array(this.pendingBytes + tail.length)
    let at = 0
    for (const piece of this.pending) {
      whole.set(piece, at)
      at += piece.length
    }
    whole.set(tail, at)
    this.pending = []
    this.pendingBytes = 0
    return whole
  }

  /** Takes lines without the last one's newline. They are decoded together: a call of the decoder costs as much as a short line. */
  private takeLines(bytes: Uint8Array, parts: Array<TimelinePart>, events: Array<GuestEvent>): TimelineReason | null {
    let text: string
    try {
      text = this.text.decode(bytes)
    } catch (cause) {
      return bytes.includes(newline) ? this.takeEach(bytes, parts, events) : this.unreadable(cause)
    }
    for (let from = 0; from <= text.length;) {
      const found = text.indexOf("\n", from)
      const to = found === -1 ? text.length : found
      const failure = this.takeLine(text.slice(from, to), parts, events)
      if (failure !== null) return failure
      from = to + 1
    }
    return null
  }

  /** Takes lines of which one is not text, up to that one. */
  private takeEach(bytes: Uint8Array, parts: Array<TimelinePart>, events: Array<GuestEvent>): TimelineReason | null {
    for (let from = 0; from <= bytes.length;) {
      const found = bytes.indexOf(newline, from)
      const to = found === -1 ? bytes.length : found
      const failure = this.takeLines(bytes.subarray(from, to), parts, events)
      if (failure !== null) return failure
      from = to + 1
    }
    return null
  }

  /** The reason why the line after the last one taken is refused. */
  private unreadable(cause: unknown): TimelineReason {
    const message = cause instanceof Error ? cause.message : String(cause)
    return this.hasHeader ? { _tag: "Garbage", line: this.line + 1, message } : { _tag: "NotATimeline", message }
  }

  private takeLine(text: string, parts: Array<TimelinePart>, events: Array<GuestEvent>): TimelineReason | null {
    // A character is three bytes at the most.
    if (text.length * 3 > lineLimitBytes && Buffer.byteLength(text) > lineLimitBytes)
      return { _tag: "LineTooLong", line: this.line + 1, limitBytes: lineLimitBytes }
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch (cause) {
      return this.unreadable(cause)
    }
    this.line += 1
    const { line } = this
    if (!this.hasHeader) return this.takeHeader(value, parts)
    if (this.hasEnded)
      return { _tag: "WrongEnd", line, message: "expected nothing after the end of the timeline, found another line" }
    if (this.version === timelineVersion && isPlainEvent(value)) return this.takeEvent(value, events)
    if (isEnd(value)) return this.takeEnd(value, parts)
    const decoded = decodeEventValue(this.version === timelineVersion ? value : upcastGuestEvent(value, this.version))
    if (Result.isFailure(decoded)) return { _tag: "Garbage", line, message: decoded.failure }
    return this.takeEvent(decoded.success, events)
  }

  private takeEvent(event: GuestEvent, events: Array<GuestEvent>): TimelineReason | null {
    const { line } = this
    if (event.seq !== this.nextSeq) {
      return {
        _tag: "OutOfOrder",
        line,
        message: `expected the event with seq ${this.nextSeq}, found seq ${event.seq}`
      }
    }
    if (event.atNanos < this.lastNanos) {
      return {
        _tag: "OutOfOrder",
        line,
        message: `expected guest time ${this.lastNanos} ns or later, found ${event.atNanos} ns`
      }
    }
    this.nextSeq += 1
    this.lastNanos = event.atNanos
    this.eventCount += 1
    events.push(event)
    return null
  }

  private takeHeader(value: unknown, parts: Array<TimelinePart>): TimelineReason | null {
    const record = (typeof value === "object" && value !== null ? value : {}) as Readonly<Record<string, unknown>>
    if (record["format"] !== timelineFormat) {
      return { _tag: "NotATimeline", message: `"format" is not "${timelineFormat}"` }
    }
    const version = record["version"]
    if (typeof version !== "number" || !Number.isInteger(version) || version < 1 || version > timelineVersion) {
      return { _tag: "UnknownVersion", found: (version ?? null) as Schema.Json, known: timelineVersion }
    }
    const decoded = decodeHeader({ ...record, version: timelineVersion })
    if (Result.isFailure(decoded)) return { _tag: "NotATimeline", message: decoded.failure.message }
    this.hasHeader = true
    this.version = version
    this.nextSeq = decoded.success.firstSeq
    this.lastNanos = decoded.success.beginning?.atNanos ?? 0
    parts.push({ _tag: "Header", header: decoded.success })
    return null
  }

  private takeEnd(value: unknown, parts: Array<TimelinePart>): TimelineReason | null {
    const { line } = this
    const decoded = decodeEnd(value)
    if (Result.isFailure(decoded)) return { _tag: "Garbage", line, message: decoded.failure.message }
    const end = decoded.success
    if (end.events !== this.eventCount) {
      return {
        _tag: "WrongEnd",
        line,
        message: `expected an end after ${this.eventCount} events, found one after ${end.events}`
      }
    }
    if (end.atNanos < this.lastNanos) {
      return {
        _tag: "WrongEnd",
        line,
        message: `expected an end at ${this.lastNanos} ns or later, found ${end.atNanos} ns`
      }
    }
    this.hasEnded = true
    parts.push({ _tag: "End", end })
    return null
  }
}

const isEnd = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (value as Readonly<Record<string, unknown>>)["_tag"] === "TimelineEnd"

const isJson = (text: { readonly decode: (bytes: Uint8Array) => string }, bytes: Uint8Array): boolean => {
  try {
    JSON.parse(text.decode(bytes))
    return true
  } catch {
    return false
  }
}

/** Events of one piece come after its header and before its end. */
const insertEvents = (parts: Array<TimelinePart>, events: ReadonlyArray<GuestEvent>): void => {
  const last = parts.at(-1)
  if (last?._tag === "End" || last?._tag === "Torn") parts.splice(-1, 0, { _tag: "Events", events })
  else parts.push({ _tag: "Events", events })
}
