/**
 * Checks the options of sandboxes and archives before anything is booted or read, since a caller may not use types.
 *
 * @module
 */
import {
  cacheRepository,
  NameMoved,
  NameTaken,
  OptionsInvalid,
  parseName,
  PlainText,
  schemaProblems,
  Snapshots,
  SnapshotsError,
  type TagOptions,
  workloadSpecSchema
} from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import { unknownImage } from "./imageSpec.ts"
import { platformNames } from "./platforms.ts"
import { readMomentResult } from "./readMoment.ts"

export { cacheRepository }

/** Problems of options, each with its place in them. */
export const problemsOf = (schema: Schema.Codec<unknown, unknown>, found: unknown): ReadonlyArray<string> =>
  schemaProblems(null, schema, found)

/** Refuses an operation for its problems, if there are any. */
export const refused = (
  operation: string,
  [problem, ...more]: ReadonlyArray<string>
): Effect.Effect<void, OptionsInvalid> =>
  problem === undefined ? Effect.void : Effect.fail(new OptionsInvalid({ operation, problems: [problem, ...more] }))

/** Refuses the options of an operation with all their problems at once. */
export const checkedOptions = (
  operation: string,
  schema: Schema.Codec<unknown, unknown>,
  found: unknown
): Effect.Effect<void, OptionsInvalid> => Effect.suspend(() => refused(operation, problemsOf(schema, found)))

/** A path, of a file or a folder. */
export const Path = PlainText.check(Schema.isMinLength(1))

/** A name that a user can give to a snapshot. */
export const SnapshotName = Schema.String.check(
  Schema.makeFilter((text: string) => {
    const read = parseName(text)
    if (Result.isFailure(read)) return read.failure.message
    return (
      read.success.name !== cacheRepository ||
      `expected a name outside ${cacheRepository}, whose snapshots prune removes, found ${text}: choose another name`
    )
  })
)

/** The options for a name. */
export const Tagging = Schema.Struct({
  replace: Schema.optional(Schema.Boolean),
  expecting: Schema.optional(Schema.NullOr(Schema.String))
})

const isFunction = (value: unknown): value is (...args: ReadonlyArray<never>) => unknown => typeof value === "function"

/** The options for watching a transfer. */
export const Watching = Schema.Struct({
  onProgress: Schema.optional(Schema.declare(isFunction, { expected: "a function" }))
})

const { argv, cwd, env, user } = workloadSpecSchema.fields

const imageFields = {
  image: Path,
  platform: Schema.optional(Schema.Literals(platformNames)),
  workload: Schema.optional(Schema.Struct({ argv: Schema.optional(argv), env, cwd, user })),
  memoryMib: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)))
} as const

/** The options for the boot. */
export const ImageData = Schema.Struct(imageFields)

const BakeData = Schema.Struct({
  ...imageFields,
  captureAt: Schema.optional(Schema.Unknown),
  name: Schema.optional(SnapshotName),
  replace: Schema.optional(Schema.Boolean),
  validate: Schema.optional(Schema.Union([Path, argv]))
})

/** An option of a value that may not be an object. */
export const optionOf = (options: unknown, name: string): unknown =>
  typeof options === "object" && options !== null ? Reflect.get(options, name) : undefined

const momentOf = (options: unknown) => readMomentResult((optionOf(options, "captureAt") ?? usualMoment) as string)

/** The default moment. */
export const usualMoment = "listener & calm 20ms"

/** All that is wrong with a bake: with its options, with its moment, and with the name of its image. */
export const bakeProblems = (options: unknown) => {
  const moment = momentOf(options)
  const image = optionOf(options, "image")
  const unknown = typeof image === "string" && image !== "" ? unknownImage(image) : undefined
  return {
    ofOptions: problemsOf(BakeData, options),
    ofMoment: Result.isFailure(moment) ? [`captureAt: ${moment.failure.why}`] : [],
    ofImage: unknown === undefined ? [] : [`image: ${unknown.message}`]
  }
}

/** The policy of a bake; refuses the bake for all that is wrong with it, and for its moment or its image alone as those are. */
export const checkedBake = (operation: string, options: unknown) =>
  Effect.gen(function* () {
    const { ofImage, ofMoment, ofOptions } = bakeProblems(options)
    const isOne = ofOptions.length === 0 && (ofMoment.length === 0 || ofImage.length === 0)
    if (!isOne) yield* refused(operation, [...ofOptions, ...ofMoment, ...ofImage])
    return yield* Effect.fromResult(momentOf(options))
  })

/** Refuses a name that is taken by another snapshot than the given one. */
export const isFree = Effect.fnUntraced(function* (name: string, digest?: string) {
  const found = yield* Effect.result(Snapshots.use(({ inspect }) => inspect(name)))
  if (found._tag === "Success") {
    if (found.success.digest === digest) return
    return yield* new SnapshotsError({ reason: new NameTaken({ name, digest: found.success.digest }) })
  }
  if (found.failure.reason._tag !== "SnapshotUnknown") return yield* found.failure
})

/** Refuses a name that a snapshot cannot get with these options, as the store would when it sets the name. */
export const isSettable = Effect.fnUntraced(function* (
  name: string,
  digest: string,
  { expecting, replace }: TagOptions
) {
  if (expecting === undefined) return replace === true ? undefined : yield* isFree(name, digest)
  const before = yield* Snapshots.use(({ inspect }) => inspect(name)).pipe(
    Effect.map((found): string | null => found.digest),
    Effect.catchReason("SnapshotsError", "SnapshotUnknown", () => Effect.succeed(null))
  )
  if (before === expecting) return
  const told = { expected: expecting ?? "none", found: before ?? "none" }
  return yield* new SnapshotsError({ reason: new NameMoved({ name, ...told }) })
})
