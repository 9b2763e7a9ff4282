/**
 * Typed events as journal records: JSON with a version per kind, upcasters for what older builds wrote.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import type { JournalEntry, JournalRecord } from "./Journal.ts"
import { JournalError } from "./JournalErrors.ts"

/** How the JSON of one kind of event came to its present form. */
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
}

/**
 * A codec of the given kinds.
 *
 * A kind, or a version of a kind, that is not among them is refused as `EventUnknown`: a later build wrote it.
 */
export const makeEventCodec = <E>(options: {
  readonly schema: Schema.Codec<E, Schema.Json>
  readonly typeOf: (event: E) => string
  readonly types: Readonly<Record<string, EventHistory>>
}): EventCodec<E> => {
  const encode = Schema.encodeSync(options.schema)
  const decode = Schema.decodeUnknownEffect(options.schema)
  return {
    encode: (event) => {
      const type = options.typeOf(event)
      return { type, schemaVersion: options.types[type]?.version ?? 1, json: JSON.stringify(encode(event)) }
    },
    decode: ({ json, schemaVersion, stream, type, version }) =>
      Effect.gen(function* () {
        const history = options.types[type]
        const supported = history?.version ?? 0
        if (history === undefined || schemaVersion > supported) {
          return yield* new JournalError({
            reason: { _tag: "EventUnknown", stream, version, type, schemaVersion, supported }
          })
        }
        const malformed = (detail: string) =>
          new JournalError({ reason: { _tag: "EventMalformed", stream, version, type, detail } })
        let value = yield* Effect.try({
          try: () => JSON.parse(json) as Schema.Json,
          catch: (cause) => malformed(String(cause))
        })
        for (let from = schemaVersion; from < supported; from++) {
          const upcast = history.upcast[from]
          if (upcast === undefined) return yield* malformed(`nothing brings version ${from} up to ${from + 1}`)
          value = upcast(value)
        }
        return yield* decode(value).pipe(Effect.mapError((error) => malformed(error.message)))
      })
  }
}
