/**
 * Checks options before anything is booted.
 *
 * @module
 */
import { Duration, Option, Result, Schema, SchemaIssue } from "effect"
import { describeValue } from "./describeValue.ts"
import { readDuration } from "./readDuration.ts"

/** Whether an option may be absent. */
export type Presence = "optional" | "required"

const isLeftOut = (found: unknown, presence: Presence): boolean => found === undefined && presence === "optional"

/** Problems of a duration: that it is none, or negative. */
export const durationProblems = (
  name: string,
  input: unknown,
  presence: Presence = "optional"
): ReadonlyArray<string> => {
  if (isLeftOut(input, presence)) return []
  const millis = Option.map(readDuration(input), Duration.toMillis)
  return Option.isSome(millis) && millis.value >= 0
    ? []
    : [`${name}: expected a duration of 0 or more, such as "10 seconds", found ${describeValue(input)}`]
}

/** Problems of a count. */
export const countProblems = (
  name: string,
  found: unknown,
  least: number,
  presence: Presence = "optional"
): ReadonlyArray<string> =>
  isLeftOut(found, presence) || isWhole(found, least)
    ? []
    : [`${name}: expected a whole number of ${least} or more, found ${describeValue(found)}`]

const isWhole = (found: unknown, least: number, most = Number.MAX_SAFE_INTEGER): boolean =>
  typeof found === "number" && Number.isSafeInteger(found) && found >= least && found <= most

/** Problems of the number of a port. */
export const portProblems = (
  name: string,
  found: unknown,
  least: number,
  presence: Presence = "optional"
): ReadonlyArray<string> =>
  isLeftOut(found, presence) || isWhole(found, least, 65_535)
    ? []
    : [`${name}: expected ${least} to 65535, found ${describeValue(found)}`]

/** Problems of names that options do not have. `known` lists the ones that they have. */
export const unknownProblems = (
  name: string,
  options: object | undefined,
  known: Readonly<Record<string, true>>
): ReadonlyArray<string> =>
  Object.keys(isRecord(options) ? options : {})
    .filter((key) => !Object.hasOwn(known, key))
    .map((key) => `${name}.${key}: no such option; there are ${Object.keys(known).join(", ")}`)

/** Problems of a value of the wrong kind. */
export const kindProblems = (
  name: string,
  found: unknown,
  expected: string,
  isOne: (value: unknown) => boolean
): ReadonlyArray<string> => (isOne(found) ? [] : [`${name}: expected ${expected}, found ${describeValue(found)}`])

/** The problem of a field that a schema does not know. */
const unexpected = ({ ast }: SchemaIssue.UnexpectedKey): string => {
  const known = ast._tag === "Objects" ? ast.propertySignatures.map(({ name }) => String(name)) : []
  return known.length === 0 ? "expected no such name here" : `no such option; there are ${known.join(", ")}`
}

/**
 * All that a schema found wrong, each with where it is; of a name that it does not know it says which ones there are.
 *
 * @example
 * ```ts
 * import { formatSchemaIssue } from "@stillpoint/core"
 * import { Result, Schema } from "effect"
 *
 * const read = Schema.decodeUnknownResult(Schema.Struct({ first: Schema.optionalKey(Schema.Int) }))
 * const found = read({ frist: 1 }, { onExcessProperty: "error" })
 * if (Result.isFailure(found)) console.log(formatSchemaIssue(found.failure.issue).issues[0]?.message)
 * // no such option; there are first
 * ```
 */
export const formatSchemaIssue = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "UnexpectedKey" ? unexpected(issue) : SchemaIssue.defaultLeafHook(issue))
})

/** The part of a value that a path leads to. */
const partAt = (value: unknown, path: ReadonlyArray<string>): unknown =>
  path.reduce<unknown>(
    (part, key) => (typeof part === "object" && part !== null ? Reflect.get(part, key) : undefined),
    value
  )

/** The words of a schema that has none of its own, as all other messages put it: with what was found. */
const withFound = (message: string, part: unknown): string => {
  if (message === "Missing key") return "expected a value, found none"
  if (!message.startsWith("Expected ")) return message
  return `e${message.slice(1).replace(" | undefined", "")}, found ${part === "" ? '""' : describeValue(part)}`
}

/**
 * Problems that a schema has with it, each with where it is (below `name`, if it has one); names that the schema does not know among
 * them.
 *
 * @example
 * ```ts
 * import { schemaProblems } from "@stillpoint/core"
 * import { Schema } from "effect"
 *
 * const pages = Schema.Struct({ first: Schema.Int })
 * console.log(schemaProblems("pages", pages, { first: 1 })) // []
 * console.log(schemaProblems("pages", pages, { first: 1.5 })) // [ 'pages.first: expected an integer, found 1.5' ]
 * ```
 */
export const schemaProblems = (
  name: string | null,
  schema: Schema.Codec<unknown, unknown>,
  found: unknown
): ReadonlyArray<string> => {
  const decoded = Schema.decodeUnknownResult(schema)(found, { errors: "all", onExcessProperty: "error" })
  if (Result.isSuccess(decoded)) return []
  return formatSchemaIssue(decoded.failure.issue).issues.map(({ message, path = [] }) => {
    const steps = path.map(String)
    const where = [...(name === null ? [] : [name]), ...steps].join(".")
    const said = withFound(message, partAt(found, steps))
    return where === "" ? said : `${where}: ${said}`
  })
}

/** Whether it is an object: a caller may not use types. */
export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const isText = (value: unknown): value is string => typeof value === "string"
/** Whether it is a valid path of a file. */
export const isPath = (value: unknown): value is string => isText(value) && value !== "" && !value.includes("\0")
export const isFunction = (value: unknown): boolean => typeof value === "function"
export const orAbsent =
  (isOne: (value: unknown) => boolean) =>
  (value: unknown): boolean =>
    value === undefined || isOne(value)

/** Problems of a choice between yes and no. */
export const flagProblems = (name: string, found: unknown): ReadonlyArray<string> =>
  found === undefined || typeof found === "boolean"
    ? []
    : [`${name}: expected true or false, found ${describeValue(found)}`]

/** Whether it maps names of disks to paths. */
export const isDiskPaths = (value: unknown): boolean =>
  isRecord(value) && !(value instanceof Promise) && Object.values(value).every(isText)

/** Problems of the present paths of disks. */
export const diskSourcesProblems = (name: string, found: unknown): ReadonlyArray<string> =>
  kindProblems(
    name,
    found,
    "paths by names of disks, or a function from a manifest to them",
    orAbsent((value) => isFunction(value) || isDiskPaths(value))
  )

export const isList = (value: unknown): value is ReadonlyArray<unknown> => Array.isArray(value)

/** As journals hold it. */
export const isJson = (value: unknown, depth = 64): boolean => {
  if (value === null || typeof value === "string" || typeof value === "boolean") return true
  if (typeof value === "number") return Number.isFinite(value)
  if (typeof value !== "object" || depth === 0) return false
  if (Array.isArray(value)) return Array.from(value).every((one) => isJson(one, depth - 1))
  const prototype: unknown = Object.getPrototypeOf(value)
  return (
    (prototype === null || prototype === Object.prototype) &&
    Object.values(value).every((one) => isJson(one, depth - 1))
  )
}
