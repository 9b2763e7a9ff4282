/**
 * Converts the JSON of older guest events to the present form. Recordings of older contracts are read, never
 * edited.
 *
 * For an added field, the contract itself has the older value. This file has all other conversions.
 *
 * @module
 */
import type { Schema } from "effect"
import { contractVersion, frameNameOf, guestEventVersions } from "./contract.ts"

/** `upcasts[n]` turns JSON of version n into JSON of version n + 1. */
type Upcasts = Readonly<Record<number, (json: Schema.Json) => Schema.Json>>

/** The version of a kind, and how its JSON came to it. */
interface KindHistory {
  readonly version: number
  readonly upcast: Upcasts
}

type Fields = Readonly<Record<string, Schema.Json>>

const fieldsOf = (json: Schema.Json): Fields => json as Fields

/** Names of kinds before version 3, and their present ones. A name is never used again for something else. */
const formerKinds: Readonly<Record<string, string>> = { AgentQuiesced: "AgentFrozen" }

/** The same of frames, those of events among them. */
const formerFrames: Readonly<Record<string, string>> = { ...formerKinds, Quiesce: "Freeze" }

const presentName = (names: Readonly<Record<string, string>>, name: unknown): Schema.Json =>
  typeof name === "string" && Object.hasOwn(names, name) ? (names[name] ?? name) : (name as Schema.Json)

/**
 * The present name of a kind of event written by an older build; any other value is unchanged.
 *
 * @example
 * ```ts
 * import { presentKindName } from "@stillpoint/core"
 *
 * console.log(presentKindName("AgentQuiesced"), presentKindName("ListenerBound")) // AgentFrozen ListenerBound
 * ```
 */
export const presentKindName = (name: unknown): unknown => presentName(formerKinds, name)

/** Until version 4 the step at which a start failed was called a stage. */
const withStep = (json: Schema.Json): Schema.Json => {
  const { stage, ...fields } = fieldsOf(json)
  return stage === undefined ? json : { ...fields, step: stage }
}

/** An event whose names are the present ones, whenever it was written: done twice it is done once. */
const withPresentNames = (json: Schema.Json): Schema.Json => {
  const fields = fieldsOf(json)
  const renamed = { ...fields, _tag: presentName(formerKinds, fields["_tag"]) }
  switch (fields["_tag"]) {
    case "AgentRejected":
      return { ...renamed, request: presentName(formerFrames, fields["request"]) }
    case "EventsDropped":
      return { ...renamed, kind: presentName(formerKinds, fields["kind"]) }
    case "WorkloadFailed":
    case "ExecFailed":
      return withStep(json)
    default:
      return renamed
  }
}

/** By kind; kinds that are not listed did not change. */
const upcasts: Readonly<Record<string, Upcasts>> = {
  AgentRejected: {
    // It named the frame by its number, and said why only in words.
    1: (json) => {
      const { _tag, atNanos, frame, message, seq } = fieldsOf(json)
      const request = frameNameOf(typeof frame === "number" ? frame : 0)
      return { _tag, seq, atNanos, request, id: null, reason: "Unspecified", message } as Schema.Json
    },
    2: withPresentNames
  },
  AgentQuiesced: { 2: withPresentNames },
  EventsDropped: { 2: withPresentNames },
  ExecFailed: { 3: withPresentNames },
  WorkloadFailed: { 3: withPresentNames }
}

const tagOf = (json: unknown): string => {
  const tag = typeof json === "object" && json !== null ? (json as { readonly _tag?: unknown })._tag : undefined
  return typeof tag === "string" ? tag : ""
}

/** Converts an event's JSON from version n to version n + 1, under any name of its kind. */
const step = (json: Schema.Json, from: number): Schema.Json => upcasts[tagOf(json)]?.[from]?.(json) ?? json

const historyUntil = (version: number): KindHistory => ({
  version,
  upcast: Object.fromEntries(
    Array.from({ length: version - 1 }, (_, index) => [index + 1, (json: Schema.Json) => step(json, index + 1)])
  )
})

/** The history of every kind of guest event, by each name that it has had. */
export const guestEventHistory: Readonly<Record<string, KindHistory>> = Object.fromEntries([
  ...Object.entries(guestEventVersions).map(([kind, version]) => [kind, historyUntil(version)] as const),
  ...Object.keys(formerKinds).map((kind) => [kind, historyUntil(contractVersion)] as const)
])

/** An event's JSON as the contract of `version` had it, in its present form. */
export const upcastGuestEvent = (value: unknown, version: number): unknown => {
  let json = value as Schema.Json
  for (let from = version; from < contractVersion; from++) json = step(json, from)
  return json
}

/** Converts a decision's JSON to the present names of events; any other value is unchanged. */
export const upcastFiring = (value: unknown): unknown => {
  if (typeof value !== "object" || value === null || !("cause" in value)) return value
  const { cause } = value
  if (typeof cause !== "object" || cause === null || !("event" in cause) || tagOf(cause.event) === "") return value
  return { ...value, cause: { ...cause, event: withPresentNames(cause.event as Schema.Json) } }
}
