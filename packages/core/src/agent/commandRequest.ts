/**
 * Checks commands for a guest before anything is sent, since a caller may not use types.
 *
 * @module
 */
import { Effect, Schema } from "effect"
import type { GuestEventOf } from "../GuestEvent.ts"
import { PlainText, SecretEnvironment } from "../IdentityParts.ts"
import { ExecError, type ExecReason } from "../MachineErrors.ts"
import { schemaProblems } from "../optionProblems.ts"

const input = Schema.Union([Schema.Uint8Array, Schema.String])

/** The fields that all command specifications share. */
const command = {
  argv: Schema.Array(PlainText).check(Schema.isMinLength(1)),
  env: Schema.optionalKey(SecretEnvironment),
  cwd: Schema.optionalKey(PlainText),
  user: Schema.optionalKey(PlainText.check(Schema.isMinLength(1)))
} as const

const execRequest = Schema.Struct({
  ...command,
  stdin: Schema.optionalKey(Schema.Union([input, Schema.Redacted(input)])),
  timeoutNanos: Schema.optionalKey(Schema.Natural),
  outputLimitBytes: Schema.optionalKey(Schema.Natural)
})

const cells = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 65_535 }))

const spawnRequest = Schema.Struct({
  ...command,
  terminal: Schema.optionalKey(Schema.Struct({ columns: cells, rows: cells })),
  windowBytes: Schema.optionalKey(Schema.Int.check(Schema.isBetween({ minimum: 4096, maximum: 2 ** 30 }))),
  pace: Schema.optionalKey(Schema.Literals(["asFastAsPossible", "realTime"]))
})

/** A checked request for `exec`. */
export type ExecRequest = typeof execRequest.Type
/** A checked request for `spawn`. */
export type SpawnRequest = typeof spawnRequest.Type

/** Reasons that say nothing beside their message. */
export type PlainExecReason = Exclude<ExecReason["_tag"], "AgentRejected" | "ExecFailed">

/** An `ExecError` of that name. */
export const execError = (_tag: PlainExecReason, message: string) => new ExecError({ reason: { _tag, message } })

/** The error for a command that did not start. */
export const notStartedError = (name: string, { errno, message, step }: GuestEventOf<"ExecFailed">) =>
  new ExecError({
    reason: {
      _tag: "ExecFailed",
      step,
      errno,
      message: `${name}: expected a command that starts, found: ${step}: ${message} (errno ${errno})`
    }
  })

/** The error for the agent's refusal of a command. */
export const refusedError = (name: string, { message, reason }: GuestEventOf<"AgentRejected">) =>
  new ExecError({
    reason: { _tag: "AgentRejected", why: reason, message: `${name}: the agent refused (${reason}): ${message}` }
  })

const checked =
  <A, E>(operation: string, decode: (input: unknown) => Effect.Effect<A, E & { readonly message: string }>) =>
  (spec: unknown): Effect.Effect<A, ExecError> =>
    Effect.mapError(decode(spec), (problem) => execError("InvalidCommand", `${operation}: ${problem.message}`))

const options = { errors: "all", onExcessProperty: "error" } as const

/** The specification of an `exec`, or everything that is wrong with it. */
export const checkedExec = checked("exec", Schema.decodeUnknownEffect(execRequest, options))

/** Problems of a command that will be executed later; `name` is its name in messages. */
export const commandProblems = (name: string, spec: unknown): ReadonlyArray<string> =>
  schemaProblems(name, execRequest, spec)
/** The specification of a `spawn`, or everything that is wrong with it. */
export const checkedSpawn = checked("spawn", Schema.decodeUnknownEffect(spawnRequest, options))
