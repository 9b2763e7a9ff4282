/**
 * Typed events as journal records: JSON with a version per kind, upcasters for what older builds wrote.
 *
 * @module
 */
import { Effect, Result, Schema } from "effect"
import type { JournalEntry, JournalRecord } from "./JournalShape.ts"
import { JournalError } from "./JournalErrors.ts"

/** The earlier forms of the JSON of one kind of event, and their conversions. */
export interface EventHistory {
  /** The version that this build writes. */
  readonly version: number
  /** `upcast[n]` turns JSON of version n into JSON of version n + 1. */
  readonly upcast: Readonly<Record<number, (json: Schema.Json) => Schema.Json>>
}

/** Events to records and back. */
export interface EventCodec<E> {
  readonly encode: (event: E) => JournalRecord
  readonly decode: (entry: JournalEntry) => Effect.Effect<E, JournalError>
  /** As `decode`, for those who have many to decode. */
  readonly decodeResult: (entry: JournalEntry) => Result.Result<E, JournalError>
}

/** The JSON of the present version of some events. */
export interface EventForm<E> {
  readonly write: (event: E) => string
  /** The event, or a description of the problem. */
  readonly read: (json: Schema.Json) => Result.Result<E, string>
}

/** The codecs of some kinds of events. */
export interface EventKinds<E> {
  readonly typeOf: (event: E) => string
  readonly types: Readonly<Record<string, EventHistory>>
}

/**
 * A codec of the given kinds.
 *
 * A kind, or a version of a kind, that is not among them is refused as `EventUnknown`: a later build wrote it.
 */
export const makeEventCodec = <E>(
  options: EventKinds<E> & { readonly schema: Schema.Codec<E, Schema.Json> }
): EventCodec<E> => {
  const encode = Schema.encodeSync(options.schema)
  const decode = Schema.decodeUnknownResult(options.schema)
  return makeEventCodecOf({
    ...options,
    write: (event) => JSON.stringify(encode(event)),
    read: (json) => Result.mapError(decode(json), (error) => error.message)
  })
}

/** As {@link makeEventCodec}, for events whose JSON is written and read by other means than a schema. */
export const makeEventCodecOf = <E>(options: EventKinds<E> & EventForm<E>): EventCodec<E> => {
  const decodeResult = ({
    json,
    schemaVersion,
    stream,
    type,
    version
  }: JournalEntry): Result.Result<E, JournalError> => {
    const history = options.types[type]
    const supported = history?.version ?? 0
    if (history === undefined || schemaVersion > supported) {
      return Result.fail(
        new JournalError({ reason: { _tag: "EventUnknown", stream, version, type, schemaVersion, supported } })
      )
    }
    const malformed = (detail: string) =>
      new JournalError({ reason: { _tag: "EventMalformed", stream, version, type, detail } })
    let value: Schema.Json
    try {
      value = JSON.parse(json) as Schema.Json
      for (let from = schemaVersion; from < supported; from++) {
        const upcast = history.upcast[from]
        if (upcast === undefined) return Result.fail(malformed(`nothing brings version ${from} up to ${from + 1}`))
        value = upcast(value)
      }
    } catch (cause) {
      return Result.fail(malformed(String(cause)))
    }
    return Result.mapError(options.read(value), malformed)
  }
  return {
    encode: (event) => {
      const type = options.typeOf(event)
      return { type, schemaVersion: options.types[type]?.version ?? 1, json: options.write(event) }
    },
    decode: (entry) => Effect.suspend(() => Effect.fromResult(decodeResult(entry))),
    decodeResult
  }
}
