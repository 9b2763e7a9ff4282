/**
 * The status of a command in a sandbox, and ours beside it.
 *
 * @module
 */
import { ExecError } from "@stillpoint/core"
import { Effect } from "effect"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { failureText } from "./failureText.ts"
import { note } from "./Output.ts"
import { Ended } from "./exitCode.ts"

/** The exit status of a command as a shell says it. */
export const statusOf = ({ code, signal }: { readonly code: number | null; readonly signal: number | null }): number =>
  code ?? 128 + (signal ?? 0)

/** Error numbers of a guest that mean that there is no such program. */
const missing: ReadonlySet<number> = new Set([2, 20])

/** The status for what kept a command from ending by itself: of a program that does not start, as shells and Docker give it. */
const statusOfFailure = (error: unknown): number => {
  if (!(error instanceof ExecError) || error.reason._tag !== "ExecFailed" || error.reason.step !== "exec") return 125
  return missing.has(error.reason.errno) ? 127 : 126
}

/** A failure of ours beside the status of a command. */
export const notTheCommands = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, Ended | ArgumentInvalid, R> =>
  Effect.matchEffect(work, {
    onSuccess: (value) => Effect.succeed(value),
    onFailure: (error): Effect.Effect<never, Ended | ArgumentInvalid> =>
      error instanceof Ended || error instanceof ArgumentInvalid
        ? Effect.fail(error)
        : Effect.andThen(note(failureText(error)), Effect.fail(new Ended(statusOfFailure(error))))
  })
