/**
 * One guest event as one line of JSON, in one way only: the keys in the order of the schema.
 *
 * Kinds whose JSON form equals their value are read and written directly. All others, and all unexpected input, go through
 * the schema, which describes the problem.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { plainEventChecks } from "../contract/contract.ts"
import { GuestEvent, GuestEventJson } from "../GuestEvent.ts"

/** A field, and the text between the value before it and its own. */
type Slot = readonly [field: string, before: string]

const slotsOf: ReadonlyMap<string, ReadonlyArray<Slot>> = new Map(
  Object.entries(GuestEvent.cases).map(([kind, schema]) => [
    kind,
    Object.keys(schema.fields)
      .filter((field) => field !== "_tag")
      .map((field, index): Slot => [field, `${index === 0 ? `{"_tag":${JSON.stringify(kind)}` : ""},"${field}":`])
  ])
)

/** Most fields are whole numbers, which need no serializer. */
const jsonOf = (value: unknown): string =>
  typeof value === "number" && Number.isSafeInteger(value) ? `${value}` : JSON.stringify(value)

const encodeWithSchema = Schema.encodeSync(GuestEventJson)
const decodeWithSchema = Schema.decodeUnknownResult(GuestEventJson, { errors: "all", onExcessProperty: "error" })

/** The line of an event, without its newline. */
export const encodeEventLine = (event: GuestEvent): string => {
  const encoded = (plainEventChecks.has(event._tag) ? event : encodeWithSchema(event)) as Readonly<
    Record<string, unknown>
  >
  let line = ""
  for (const [field, before] of slotsOf.get(event._tag) ?? []) line += before + jsonOf(encoded[field])
  return `${line}}`
}

/** The event of a line, or a description of the problem. */
export const decodeEventLine = (line: string): Result.Result<GuestEvent, string> => {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (cause) {
    return Result.fail(cause instanceof Error ? cause.message : String(cause))
  }
  return decodeEventValue(value)
}

/** As {@link decodeEventLine}, from the JSON value. */
export const decodeEventValue = (value: unknown): Result.Result<GuestEvent, string> => {
  if (isPlainEvent(value)) return Result.succeed(value)
  return Result.mapError(decodeWithSchema(value), (error) => error.message)
}

/** Whether a JSON value is an event of a kind that is its own JSON: what {@link decodeEventValue} gives back is the value itself then. */
export const isPlainEvent = (value: unknown): value is GuestEvent => {
  if (typeof value !== "object" || value === null) return false
  const record = value as Readonly<Record<string, unknown>>
  return plainEventChecks.get(record["_tag"] as string)?.(record) === true
}
