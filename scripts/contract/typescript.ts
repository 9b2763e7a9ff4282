/**
 * The contract in TypeScript.
 *
 * @module
 */
import { contract } from "./contract.ts"
import type { Field } from "./form.ts"
import { banner, contractHash, enumerationOf, events, frameNames, pascal } from "./names.ts"

const literals = (values: ReadonlyArray<string>): string =>
  `[${values.map((value) => JSON.stringify(value)).join(", ")}]`

const schemaOf = (type: string): string => {
  switch (type) {
    case "text":
      return "Schema.String"
    case "texts":
      return "Schema.Array(Schema.String)"
    case "bytes":
      return "Schema.Uint8Array"
    case "json":
      return "Schema.Json"
    case "i32":
      return "Schema.Int"
    case "kind":
      return "Schema.Literals(guestEventKinds)"
    case "u32?":
    case "natural?":
      return "Schema.NullOr(Schema.Natural)"
    case "FrameName":
      return "Schema.Literals(frameNames)"
    default: {
      const enumeration = enumerationOf(type)
      if (enumeration === undefined) return "Schema.Natural"
      return type === "RejectReason"
        ? "Schema.Literals(rejectReasons)"
        : `Schema.Literals(${literals(Object.keys(enumeration.values))})`
    }
  }
}

const fieldsOf = (fields: ReadonlyArray<Field>): string =>
  fields
    .map((field) =>
      field.type === "status"
        ? `/** Exit code; null if a signal ended it. */ code: Schema.NullOr(Schema.Int), /** Number of the signal that ended it. */ signal: Schema.NullOr(Schema.Int)`
        : `/** ${field.doc} */ ${field.name}: ${schemaOf(field.type)}${
            field.was === undefined ? "" : `.pipe(Schema.withDecodingDefaultKey(Effect.succeed(${field.was})))`
          }`
    )
    .join(",\n")

/** Whether a field of an event is what it must be. */
const checkOf = ({ name, type }: Field): string => {
  const check = (how: string) => `${how}(event[${JSON.stringify(name)}])`
  switch (type) {
    case "text":
      return check("isString")
    case "texts":
      return check("isStrings")
    case "i32":
      return check("isInt")
    case "status":
      return `isIntOrNull(event["code"]) && isIntOrNull(event["signal"])`
    case "u32?":
    case "natural?":
      return check("isNaturalOrNull")
    case "kind":
      return check("isKind")
    case "FrameName":
      return check("isFrameName")
    default:
      return check(enumerationOf(type) === undefined ? "isNatural" : `is${type}`)
  }
}

const plainEvents = events.filter(([, { fields }]) => fields.every(({ type }) => type !== "bytes" && type !== "json"))

/** The enumerations that their fields have. */
const plainEnumerations = [...new Set(plainEvents.flatMap(([, { fields }]) => fields.map(({ type }) => type)))].flatMap(
  (type) => {
    const values = enumerationOf(type)?.values
    return values === undefined ? [] : [{ type, values: Object.keys(values) }]
  }
)

/** Keys of an event: its fields, `_tag`, `seq` and `atNanos`. */
const keyCountOf = ({ fields }: { readonly fields: ReadonlyArray<Field> }): number =>
  fields.reduce((count, { type }) => count + (type === "status" ? 2 : 1), 3)

/** Kinds, the frequent ones first. */
const byFrequency = [
  ...contract.frequent,
  ...events.map(([kind]) => kind).filter((kind) => !contract.frequent.includes(kind))
]
const numberOf = new Map(events.map(([kind], number) => [kind, number]))

/** For core: what events are. */
export const coreContract = (): string => `/**
 * ${banner}
 *
 * @module
 */
import { Effect, Schema } from "effect"

/** Version of the contract between agent, core and library. */
export const contractVersion = ${contract.version}

/** SHA-256 of the contract that this build follows. */
export const contractHash = "${contractHash}"

/** Bounds that the guest's agent and the machine keep. */
export const contractLimits = {
${Object.entries(contract.limits)
  .map(([name, limit]) => `/** ${limit.doc}. */ ${name}: ${limit.value}`)
  .join(",\n")}
} as const

/** The kinds of guest events; a kind's number is its place. */
export const guestEventKinds = ${literals(events.map(([kind]) => kind))} as const

/** The number of a kind; ${events.length} for one that this build does not know. Written out, because it is asked for every event. */
export const guestEventNumber = (kind: string): number => {
  switch (kind) {
${byFrequency.map((kind) => `case ${JSON.stringify(kind)}: return ${numberOf.get(kind)}`).join("\n")}
    default: return ${events.length}
  }
}

/** The frames of the control port, by name. */
export const frameNames = ${literals(frameNames.map(([name]) => name))} as const

/** Why something was refused. */
export const rejectReasons = ${literals(Object.keys(contract.enumerations["RejectReason"]?.values ?? {}))} as const

/** The number that a frame had where recordings of older forms name it by number. */
export const frameNameOf = (frame: number): (typeof frameNames)[number] => {
  switch (frame) {
${frameNames
  .filter(([, number]) => number !== 0)
  .map(([name, number]) => `case ${number}: return ${JSON.stringify(name)}`)
  .join("\n")}
    default: return "Unknown"
  }
}

const position = {
  /** Place in the sequence: 0, 1, 2 … without gaps, per machine lineage. */
  seq: Schema.Natural,
  /** Guest time at which it happened; never decreases. */
  atNanos: Schema.Natural
} as const

/** The fields of every kind. */
export const guestEventFields = {
${events.map(([kind, form]) => `/** ${form.doc} */\n${kind}: { ...position, ${fieldsOf(form.fields)} }`).join(",\n")}
} as const

/** The version of the contract in which each kind became what it is. */
export const guestEventVersions: Readonly<Record<keyof typeof guestEventFields, number>> = {
${events.map(([kind, { version }]) => `${kind}: ${version ?? 1}`).join(",\n")}
}

const isNatural = (value: unknown): boolean => typeof value === "number" && Number.isSafeInteger(value) && value >= 0
const isNaturalOrNull = (value: unknown): boolean => value === null || isNatural(value)
const isInt = (value: unknown): boolean => typeof value === "number" && Number.isSafeInteger(value)
const isIntOrNull = (value: unknown): boolean => value === null || isInt(value)
const isString = (value: unknown): boolean => typeof value === "string"
const isStrings = (value: unknown): boolean => Array.isArray(value) && value.every(isString)
const oneOf = (values: ReadonlyArray<string>) => {
  const known: ReadonlySet<unknown> = new Set(values)
  return (value: unknown): boolean => known.has(value)
}
const isKind = oneOf(guestEventKinds)
const isFrameName = oneOf(frameNames)
${plainEnumerations
  .map(({ type, values }) => `const is${type} = oneOf(${type === "RejectReason" ? "rejectReasons" : literals(values)})`)
  .join("\n")}
const hasKeys = (event: object, count: number): boolean => {
  let keys = 0
  for (const _ in event) keys += 1
  return keys === count
}

/** The kinds that are their own JSON, each with whether a JSON value of that \`_tag\` is an event. One function a kind, since each sees one shape. */
export const plainEventChecks: ReadonlyMap<string, (event: Readonly<Record<string, unknown>>) => boolean> = new Map<
  string,
  (event: Readonly<Record<string, unknown>>) => boolean
>([
${plainEvents
  .map(([kind, form]) => {
    const checks = [`isNatural(event["seq"])`, `isNatural(event["atNanos"])`, ...form.fields.map(checkOf)]
    return `[${JSON.stringify(kind)}, (event) => ${checks.join(" && ")} && hasKeys(event, ${keyCountOf(form)})]`
  })
  .join(",\n")}
])
`

const reading = ({ type }: Field): string => {
  switch (type) {
    case "u8":
    case "u16":
    case "u32":
    case "i32":
      return `reader.${type}()`
    case "natural":
      return "reader.natural()"
    case "bytes":
      return "reader.bytes()"
    case "text":
      return "reader.text()"
    case "texts":
      return "reader.texts()"
    case "json":
      return "reader.json()"
    case "bool":
      return "reader.u8() === 1"
    case "kind":
      return "valueOf(guestEventKinds, reader.u8())"
    case "u32?":
      return "reader.u8() === 0 ? null : reader.u32()"
    case "natural?":
      return "reader.u8() === 0 ? null : reader.natural()"
    default:
      return `${type.charAt(0).toLowerCase()}${type.slice(1)}(reader.u8())`
  }
}

const enumerationReader = (name: string, values: ReadonlyArray<readonly [string, number]>): string => {
  const [[first] = ["", 0]] = values
  return `const ${name.charAt(0).toLowerCase()}${name.slice(1)} = (number: number) => {
  switch (number) {
${values
  .slice(1)
  .map(([value, number]) => `case ${number}: return ${JSON.stringify(value)}`)
  .join("\n")}
    default: return ${JSON.stringify(first)}
  }
}`
}

/** For native: events from the bridge. */
export const bridgeDecoder = (): string => `/**
 * ${banner}
 *
 * @module
 */
import { type GuestEvent, guestEventKinds } from "@stillpoint/core"
import type { EventReader } from "./EventReader.ts"

/** SHA-256 of the contract that this decoder follows. */
export const decoderContractHash = "${contractHash}"

${enumerationReader("FrameName", frameNames)}

${Object.entries(contract.enumerations)
  .filter(([name]) => events.some(([, { fields }]) => fields.some(({ type }) => type === name)))
  .map(([name, { values }]) =>
    enumerationReader(
      pascal(name),
      Object.entries(values).map(([value, [number]]) => [value, number] as const)
    )
  )
  .join("\n\n")}

const valueOf = <T>(values: ReadonlyArray<T>, number: number): T => values[number] ?? (values[0] as T)

/** The next event. */
export const decodeEvent = (reader: EventReader, seq: number): GuestEvent => {
  const kind = reader.u8()
  const atNanos = reader.natural()
  switch (kind) {
${events
  .map(
    ([kind, { fields }], number) =>
      `case ${number}: return { _tag: ${JSON.stringify(kind)}, seq, atNanos${fields
        .map((field) => (field.type === "status" ? ", ...reader.status()" : `, ${field.name}: ${reading(field)}`))
        .join("")} }`
  )
  .join("\n")}
    default:
      // The hashes of the addon's contract and of this file's are compared when the addon is loaded.
      throw new Error(\`event \${seq}: expected a kind below ${events.length}, found \${kind}\`)
  }
}
`
