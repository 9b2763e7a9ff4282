/**
 * The moment to capture, as one flat record.
 *
 * @module
 */
import { type Duration, Effect, Option, Result, Schema, SchemaGetter, SchemaIssue, SchemaParser } from "effect"
import { accessSync, constants, existsSync, statSync } from "node:fs"
import { dirname, isAbsolute } from "node:path"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import { never } from "../builtin/never.ts"
import { onListener } from "../builtin/onListener.ts"
import { onParked } from "../builtin/onParked.ts"
import { onPreExec, type PreExecOptions } from "../builtin/onPreExec.ts"
import { named } from "../combinators/named.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce, type QuiesceOptions } from "../combinators/quiesce.ts"
import { requireAll, requireRecord } from "../argument.ts"
import { horizonNanos } from "../guestDuration.ts"
import type { Policy } from "../Policy.ts"
import { PolicyError, type PolicyProblem, problemsOf, unknownProblems } from "../PolicyError.ts"

/** Longest delay: the guest's horizon, in whole milliseconds. */
const maxMillis = Math.floor(horizonNanos / 1e6)
const flag = () =>
  Schema.Boolean.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(false)),
    Schema.withConstructorDefault(Effect.succeed(false))
  )

const Millis = Schema.Int.check(
  Schema.isGreaterThanOrEqualTo(0, { message: "expected 0 ms or more" }),
  Schema.isLessThanOrEqualTo(maxMillis, { message: `expected at most ${maxMillis} ms, the guest's horizon` })
)

const Heartbeat = Schema.Int.check(
  Schema.isGreaterThanOrEqualTo(1, { message: "expected a heartbeat count of 1 or more" }),
  Schema.isLessThanOrEqualTo(Number.MAX_SAFE_INTEGER, { message: "expected a heartbeat count of at most 2^53 - 1" })
)

/** An absolute path in a folder that can be written to: checked where it is read, as a capture is too late to find out. */
const OutPath = Schema.String.check(Schema.makeFilter((path: string) => pathProblem(path) ?? true))

const pathProblem = (path: string): string | undefined => {
  if (path.includes("\0")) return "expected a path without NUL characters"
  if (!isAbsolute(path)) return `expected an absolute path, found ${JSON.stringify(path)}`
  if (existsSync(path) && !statSync(path).isDirectory()) return `expected a folder or nothing at ${path}, found a file`
  // The snapshot is published by renaming a folder beside its target, so that it is the nearest folder above that counts.
  let above = dirname(path)
  while (!existsSync(above) && dirname(above) !== above) above = dirname(above)
  try {
    if (!statSync(above).isDirectory()) return `expected a folder at ${above}, found a file`
    accessSync(above, constants.W_OK | constants.X_OK)
    return undefined
  } catch {
    return `expected a path in a folder that can be written to, found ${above}`
  }
}

const fields = {
  /** Capture when this much guest time has passed since the first instruction, ms; the fallback for a guest that is never ready. */
  afterMs: Schema.NullOr(Millis).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(null)),
    Schema.withConstructorDefault(Effect.succeed(null))
  ),
  /** Capture once the guest's heartbeat count has reached this. */
  atHeartbeat: Schema.NullOr(Heartbeat).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(null)),
    Schema.withConstructorDefault(Effect.succeed(null))
  ),
  /** Capture when the workload has bound a listener. */
  onListener: flag(),
  /** Capture when the workload is about to be executed. */
  onPreExec: flag(),
  /** Capture when the workload has parked: it forked into the background and exited, and has no listener. */
  onParked: Schema.optionalKey(Schema.Boolean).pipe(
    Schema.decodeTo(Schema.Boolean, {
      decode: SchemaGetter.withDefault(Effect.succeed(false)),
      // Records from other programs may lack the field: it is only written if it is set.
      encode: SchemaGetter.transformOptional(Option.filter((isSet: boolean) => isSet))
    }),
    Schema.withConstructorDefault(Effect.succeed(false))
  ),
  /** The guest must have been calm for this long without a break between the trigger and the capture, ms. */
  quiesceMs: Millis.pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(0)),
    Schema.withConstructorDefault(Effect.succeed(0))
  ),
  /** Absolute path of the folder that the snapshot is published to; `null` keeps it in memory. */
  outPath: Schema.NullOr(OutPath).pipe(
    Schema.withDecodingDefaultKey(Effect.succeed(null)),
    Schema.withConstructorDefault(Effect.succeed(null))
  )
}

const record = Schema.Struct(fields)

/** The fields of {@link SnapshotResources}; all are optional. */
export type SnapshotResourcesInput = (typeof record)["~type.make.in"]

const inSnakeCase = record.pipe(
  Schema.encodeKeys({
    afterMs: "after_ms",
    atHeartbeat: "at_heartbeat",
    onListener: "on_listener",
    onPreExec: "on_pre_exec",
    onParked: "on_parked",
    quiesceMs: "quiesce_ms",
    outPath: "out_path"
  })
)

/** The record as JSON: in snake case, absent fields have their defaults. */
export type SnapshotResourcesJson = typeof inSnakeCase.Encoded

/** Records are always read strictly, so that a mistyped field is not taken for an absent one. */
const strictly = { errors: "all", onExcessProperty: "error" } as const
const encodeSnakeCase = Schema.encodeSync(inSnakeCase)

const isRecord = (json: unknown): json is Readonly<Record<string, unknown>> =>
  typeof json === "object" && json !== null && !Array.isArray(json)

/** The schema reports a value that is not a record. */
const readOnce = <A>(input: A): A =>
  isRecord(input) ? requireRecord("SnapshotResources", input as A & object, "a record") : input

/** The fields in the class's form, whose decoding and encoding sides are JSON. */
const asJson = Object.assign(
  Schema.Unknown.pipe(
    Schema.decodeTo(Schema.toType(record), {
      decode: SchemaGetter.transformEffect((json: unknown) =>
        SchemaParser.decodeUnknownEffect(inSnakeCase)(json, strictly)
      ),
      encode: SchemaGetter.transform((fields: typeof record.Type): unknown => encodeSnakeCase(fields))
    })
  ),
  { fields: record.fields }
)

/** The class as callers see it: the record, which as a schema has another form in JSON. */
type AsJson = typeof inSnakeCase & { readonly fields: typeof fields }
const Base = Schema.Class<SnapshotResources>("@stillpoint/triggers/SnapshotResources")(
  asJson as unknown as typeof record
) as unknown as Schema.Class<SnapshotResources, AsJson, {}>

/** A valid setting that has no effect; print it for the user. */
export const ResourcesWarning = Schema.Struct({
  /** The field that has no effect, as JSON names it; `null` for the record as a whole. */
  field: Schema.NullOr(Schema.String),
  message: Schema.String
})
export type ResourcesWarning = typeof ResourcesWarning.Type

/** Options for turning a record into a policy. */
export interface ToPolicyOptions {
  /** Sources of the pre-exec. */
  readonly preExec?: PreExecOptions
  /** Longest wait for calm; the larger of 1 s and ten times `quiesceMs` if absent. */
  readonly deadline?: Duration.Input | "none"
  /** What to do at the deadline; `capture` if absent, with the verdict recorded. */
  readonly onDeadline?: QuiesceOptions["onDeadline"]
  readonly activity?: QuiesceOptions["activity"]
  readonly agent?: QuiesceOptions["agent"]
}

/**
 * The moment to capture, as one flat record: immutable, compared and hashed by value, with no field set by default.
 *
 * The highest ready field wins: heartbeat > pre-exec > listener > parked > after. Without a field it never captures, and {@link
 * SnapshotResources.warnings} says so. As a schema it decodes JSON in snake case and encodes to it; an unknown field is refused,
 * together with all other problems.
 *
 * @example
 * ```ts
 * import { SnapshotResources } from "@stillpoint/triggers"
 * import { Schema } from "effect"
 *
 * const resources = new SnapshotResources({ onPreExec: true, afterMs: 7000, quiesceMs: 20 })
 * console.log(resources.toPolicy().name) // precedence(quiesce(pre-exec, 20 ms), quiesce(after, 20 ms))
 *
 * const read = Schema.decodeUnknownSync(SnapshotResources)({ on_pre_exec: true, on_listener: true })
 * console.log(read.warnings[0]?.field) // on_listener
 * ```
 */
export class SnapshotResources extends Base {
  /** Throws a `PolicyError` that lists all problems. A record cannot be changed afterwards. */
  constructor(input: SnapshotResourcesInput = {}, options: Schema.MakeOptions = {}) {
    try {
      super(readOnce(input), {
        ...options,
        parseOptions: { ...options.parseOptions, ...strictly }
      })
    } catch (error) {
      if (error instanceof Error && SchemaIssue.isIssue(error.cause))
        throw new PolicyError({ problems: problemsOf(error.cause, Object.keys(fields)) })
      throw error
    }
    Object.freeze(this)
  }

  /** Settings that are valid but have no effect. */
  get warnings(): ReadonlyArray<ResourcesWarning> {
    const warnings: Array<ResourcesWarning> = []
    const isAnySet =
      this.onPreExec || this.onListener || this.onParked || this.atHeartbeat !== null || this.afterMs !== null
    if (!isAnySet) {
      warnings.push({
        field: null,
        message: "nothing is set that would capture: the guest runs, and is never captured"
      })
      if (this.outPath !== null)
        warnings.push({ field: "out_path", message: "nothing is captured that could be published there" })
      if (this.quiesceMs > 0)
        warnings.push({
          field: "quiesce_ms",
          message: "it has no effect: nothing is captured, so there is no wait for calm"
        })
      return warnings
    }
    if (this.onPreExec && this.onListener) {
      warnings.push({
        field: "on_listener",
        message: "can never win: pre-exec comes before the workload runs, and so before it binds a listener"
      })
    }
    if (this.onPreExec && this.onParked) {
      warnings.push({
        field: "on_parked",
        message: "can never win: pre-exec comes before the workload runs, and so before it parks"
      })
    }
    if (this.afterMs === 0) {
      warnings.push({
        field: "after_ms",
        message: "0 captures before the guest's first instruction: nothing else that is set can win"
      })
    }
    return warnings
  }

  /**
   * The policy of the record. Throws a `PolicyError` if a valid record does not fit the options: a calm that is longer than the
   * deadline.
   */
  toPolicy(input: ToPolicyOptions = {}): Policy {
    const options = requireRecord("toPolicy", input, "options")
    const known = ["preExec", "deadline", "onDeadline", "activity", "agent"]
    const { calmly, preExec } = requireAll(
      {
        preExec: () => onPreExec(options.preExec),
        calmly: () =>
          quiesce({
            calmFor: this.quiesceMs,
            deadline: options.deadline ?? Math.max(1000, 10 * this.quiesceMs),
            onDeadline: options.onDeadline ?? "capture",
            ...(options.activity === undefined ? {} : { activity: options.activity }),
            ...(options.agent === undefined ? {} : { agent: options.agent })
          })
      },
      unknownProblems("toPolicy", options, known)
    )
    const triggers = [
      ...(this.atHeartbeat === null ? [] : [named(atHeartbeat(this.atHeartbeat), "heartbeat")]),
      ...(this.onPreExec ? [named(preExec, "pre-exec")] : []),
      ...(this.onListener ? [named(onListener(), "listener")] : []),
      ...(this.onParked ? [named(onParked(), "parked")] : []),
      ...(this.afterMs === null ? [] : [named(afterGuestTime(this.afterMs), "after")])
    ]
    return triggers.length === 0
      ? never
      : precedence(this.quiesceMs === 0 ? triggers : triggers.map((trigger) => calmly(trigger)))
  }

  /**
   * The record from its JSON form, or all its problems at once: unknown fields, invalid values, and combinations that {@link
   * SnapshotResources.toPolicy} refuses with these options. `toPolicy` accepts every record that it accepts.
   */
  static fromJson(json: unknown, options: ToPolicyOptions = {}): Result.Result<SnapshotResources, PolicyError> {
    const read = Result.try({
      try: () => readOnce(json),
      catch: (cause) => cause as PolicyError
    })
    if (Result.isFailure(read)) return Result.fail(read.failure)
    const decoded = decodeJson(read.success)
    if (Result.isSuccess(decoded)) {
      const problems = combinationProblems(decoded.success, options)
      return problems.length > 0 ? Result.fail(new PolicyError({ problems })) : Result.succeed(decoded.success)
    }
    const problems = problemsOf(decoded.failure.issue, jsonNames)
    // Fields that are valid alone may be invalid together, which is reported with the other problems.
    const wrong = new Set(problems.map(({ path }) => String(path[0])))
    const right = isRecord(json) ? Object.fromEntries(Object.entries(json).filter(([key]) => !wrong.has(key))) : {}
    const rest = decodeJson(right)
    if (Result.isSuccess(rest)) problems.push(...combinationProblems(rest.success, options))
    return Result.fail(new PolicyError({ problems }))
  }

  /** The JSON form of the record: every field, in snake case. */
  toJson(): SnapshotResourcesJson {
    return encodeSnakeCase(this)
  }
}

const decodeJson = Schema.decodeUnknownResult(SnapshotResources)
const jsonNames = Object.keys(new SnapshotResources({ onParked: true }).toJson())

/** The options of a quiesce that the record decides. */
const fieldOf: Readonly<Record<string, string>> = { calmFor: "quiesce_ms", deadline: "quiesce_ms" }

/** The combinations of valid fields that `toPolicy` refuses. */
const combinationProblems = (resources: SnapshotResources, options: ToPolicyOptions): ReadonlyArray<PolicyProblem> => {
  try {
    resources.toPolicy(options)
    return []
  } catch (cause) {
    if (!(cause instanceof PolicyError)) throw cause
    return cause.problems.map(({ message, path }) => {
      const field = path[0] === "quiesce" ? fieldOf[String(path[1])] : undefined
      return { path: field === undefined ? path : [field], message }
    })
  }
}
