/**
 * How the JSON of guest events came to its present form: recordings of older contracts are read, never edited.
 *
 * A field that was added has its older value in the contract itself. Here stands what is more than that.
 *
 * @module
 */
import type { Schema } from "effect"
import { frameNameOf, guestEventFields, guestEventVersions } from "./contract.ts"

/** `upcasts[n]` turns JSON of version n into JSON of version n + 1. */
type Upcasts = Readonly<Record<number, (json: Schema.Json) => Schema.Json>>

/** The version of a kind, and how its JSON came to it. */
interface KindHistory {
  readonly version: number
  readonly upcast: Upcasts
}

const same = (json: Schema.Json): Schema.Json => json

/** By kind; what is not here did not change. */
const upcasts: Readonly<Record<string, Upcasts>> = {
  AgentRejected: {
    // It named the frame by its number, and said why only in words.
    1: (json) => {
      const { _tag, atNanos, frame, message, seq } = json as Readonly<Record<string, Schema.Json>>
      const request = frameNameOf(typeof frame === "number" ? frame : 0)
      return { _tag, seq, atNanos, request, id: null, reason: "Unspecified", message } as Schema.Json
    }
  }
}

/** The history of every kind of guest event. */
export const guestEventHistory: Readonly<Record<string, KindHistory>> = Object.fromEntries(
  (Object.keys(guestEventFields) as Array<keyof typeof guestEventFields>).map((kind) => {
    const version = guestEventVersions[kind]
    const upcast: Record<number, (json: Schema.Json) => Schema.Json> = {}
    for (let from = 1; from < version; from++) upcast[from] = upcasts[kind]?.[from] ?? same
    return [kind, { version, upcast }]
  })
)

/** An event's JSON as the contract of `version` had it, in its present form. */
export const upcastGuestEvent = (value: unknown, version: number): unknown => {
  const kind = typeof value === "object" && value !== null ? (value as { readonly _tag?: unknown })._tag : undefined
  const history = typeof kind === "string" ? guestEventHistory[kind] : undefined
  if (history === undefined) return value
  let json = value as Schema.Json
  for (let from = version; from < history.version; from++) json = history.upcast[from]?.(json) ?? json
  return json
}
