/**
 * The status of a command in a sandbox, and ours beside it.
 *
 * @module
 */
import { Effect } from "effect"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { failureText } from "./failureText.ts"
import { note } from "./Output.ts"
import { Ended } from "./exitCode.ts"

/** The exit status of a command as a shell says it. */
export const statusOf = ({ code, signal }: { readonly code: number | null; readonly signal: number | null }): number =>
  code ?? 128 + (signal ?? 0)

/** A failure of ours beside the status of a command. */
export const notTheCommands = <A, E, R>(work: Effect.Effect<A, E, R>): Effect.Effect<A, Ended | ArgumentInvalid, R> =>
  Effect.matchEffect(work, {
    onSuccess: (value) => Effect.succeed(value),
    onFailure: (error): Effect.Effect<never, Ended | ArgumentInvalid> =>
      error instanceof Ended || error instanceof ArgumentInvalid
        ? Effect.fail(error)
        : Effect.andThen(note(failureText(error)), Effect.fail(new Ended(125)))
  })
