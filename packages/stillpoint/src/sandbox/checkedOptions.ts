/**
 * What is asked of sandboxes and archives, checked before anything is booted or read for it: a program may be written without types.
 *
 * @module
 */
import { NameTaken, parseName, PlainText, Snapshots, SnapshotsError, workloadSpecSchema } from "@stillpoint/core"
import { Effect, Result, Schema, SchemaIssue } from "effect"
import { readMomentResult } from "./readMoment.ts"
import { OptionsInvalid } from "./SandboxError.ts"

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

const issuesOf = (schema: Schema.Codec<unknown, unknown>, found: unknown): ReadonlyArray<string> => {
  const decoded = Schema.decodeUnknownResult(schema)(found, { errors: "all", onExcessProperty: "error" })
  if (Result.isSuccess(decoded)) return []
  return formatIssue(decoded.failure.issue).issues.map(({ message, path = [] }) =>
    path.length === 0 ? message : `${path.map(String).join(".")}: ${message}`
  )
}

const refused = (operation: string, [problem, ...more]: ReadonlyArray<string>): Effect.Effect<void, OptionsInvalid> =>
  problem === undefined ? Effect.void : Effect.fail(new OptionsInvalid({ operation, problems: [problem, ...more] }))

/** Refuses what an operation was given for all that is wrong with it. */
export const checkedOptions = (
  operation: string,
  schema: Schema.Codec<unknown, unknown>,
  found: unknown
): Effect.Effect<void, OptionsInvalid> => Effect.suspend(() => refused(operation, issuesOf(schema, found)))

/** A path, of a file or a folder. */
export const Path = PlainText.check(Schema.isMinLength(1))

/** A name that can be given to a snapshot. */
export const SnapshotName = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const read = parseName(text)
    return Result.isSuccess(read) || read.failure.message
  })
)

/** How a name is given. */
export const Tagging = Schema.Struct({
  replace: Schema.optional(Schema.Boolean),
  expecting: Schema.optional(Schema.NullOr(Schema.String))
})

const isFunction = (value: unknown): value is (...args: ReadonlyArray<never>) => unknown => typeof value === "function"

/** How a transfer is watched. */
export const Watching = Schema.Struct({
  onProgress: Schema.optional(Schema.declare(isFunction, { expected: "a function" }))
})

const { argv, cwd, env, user } = workloadSpecSchema.fields

const imageFields = {
  image: Path,
  workload: Schema.optional(Schema.Struct({ argv: Schema.optional(argv), env, cwd, user })),
  memoryMib: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)))
} as const

/** What is booted. */
export const ImageData = Schema.Struct(imageFields)

const BakeData = Schema.Struct({
  ...imageFields,
  captureAt: Schema.optional(Schema.Unknown),
  name: Schema.optional(SnapshotName),
  replace: Schema.optional(Schema.Boolean)
})

/** The policy of a bake; refuses the bake for all that is wrong with it, and for its moment alone as a moment is. */
export const checkedBake = (operation: string, options: unknown, usualMoment: string) =>
  Effect.gen(function* () {
    const problems = issuesOf(BakeData, options)
    const given: unknown =
      typeof options === "object" && options !== null ? Reflect.get(options, "captureAt") : undefined
    const moment = readMomentResult((given ?? usualMoment) as string)
    if (problems.length === 0) return yield* Effect.fromResult(moment)
    const ofMoment = Result.isFailure(moment) ? [`captureAt: ${moment.failure.why}`] : []
    yield* refused(operation, [...problems, ...ofMoment])
    return yield* Effect.fromResult(moment)
  })

/** Refuses a name that belongs to a snapshot, unless it is the one that is to have it. */
export const isFree = Effect.fnUntraced(function* (name: string, digest?: string) {
  const found = yield* Effect.result(Snapshots.use(({ inspect }) => inspect(name)))
  if (found._tag === "Success") {
    if (found.success.digest === digest) return
    return yield* new SnapshotsError({ reason: new NameTaken({ name, digest: found.success.digest }) })
  }
  if (found.failure.reason._tag !== "SnapshotUnknown") return yield* found.failure
})
