/**
 * One guest event as one line of JSON, in one way only: the keys in the order of the schema.
 *
 * Kinds whose JSON form equals their value are read and written directly; the others, and everything that is not as expected,
 * go through the schema, which knows what to say about it.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { GuestEvent, GuestEventJson, type GuestEventKind } from "../GuestEvent.ts"

const isNatural = (value: unknown): boolean => typeof value === "number" && Number.isSafeInteger(value) && value >= 0
const isInt = (value: unknown): boolean => typeof value === "number" && Number.isSafeInteger(value)
const isString = (value: unknown): boolean => typeof value === "string"
const isStatus = (value: unknown): boolean => value === null || isInt(value)
const isStrings = (value: unknown): boolean => Array.isArray(value) && value.every(isString)
const isProtocol = (value: unknown): boolean => value === "tcp" || value === "udp"

type Check = readonly [field: string, holds: (value: unknown) => boolean]

const position: ReadonlyArray<Check> = [
  ["seq", isNatural],
  ["atNanos", isNatural]
]
const plain = (...fields: ReadonlyArray<Check>): ReadonlyArray<Check> => [...position, ...fields]

/** Fields of the kinds that are their own JSON. Checked against the schema by a test. */
const plainKinds: ReadonlyMap<string, ReadonlyArray<Check>> = new Map<GuestEventKind, ReadonlyArray<Check>>([
  ["SerialLine", plain(["port", isNatural], ["text", isString])],
  ["HeartbeatTick", plain(["count", isNatural])],
  ["WorkloadPreExec", plain(["argv", isStrings])],
  ["ListenerBound", plain(["protocol", isProtocol], ["address", isString], ["port", isNatural])],
  ["WorkloadParked", plain()],
  ["WorkloadExited", plain(["code", isStatus], ["signal", isStatus])],
  ["GuestIdle", plain()],
  ["GuestBusy", plain()],
  ["IoStarted", plain(["device", isString])],
  ["IoSettled", plain(["device", isString])],
  ["PagesDirtied", plain(["count", isNatural])],
  ["AgentQuiesced", plain(["token", isNatural])],
  ["AgentThawed", plain(["token", isNatural])]
])

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
  const encoded = (plainKinds.has(event._tag) ? event : encodeWithSchema(event)) as Readonly<Record<string, unknown>>
  let line = ""
  for (const [field, before] of slotsOf.get(event._tag) ?? []) line += before + jsonOf(encoded[field])
  return `${line}}`
}

/** The event of a line, or what is wrong with it. */
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

const isPlainEvent = (value: unknown): value is GuestEvent => {
  if (typeof value !== "object" || value === null) return false
  const record = value as Readonly<Record<string, unknown>>
  const checks = plainKinds.get(record["_tag"] as string)
  if (checks === undefined) return false
  for (let index = 0; index < checks.length; index++) {
    const [field, holds] = checks[index] as Check
    if (!holds(record[field])) return false
  }
  let keys = 0
  for (const _ in record) keys += 1
  return keys === checks.length + 1
}
