/**
 * Moments as people write them.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { decodePolicy, parsePolicy, pointedAt, Policy } from "@stillpoint/triggers"
import { Effect, Result } from "effect"
import { placeInJson, problemInJson } from "./jsonPlace.ts"
import { MomentInvalid } from "./SandboxError.ts"

/** When to capture: a policy, its JSON as a string, or an expression such as `listener:8080 & calm 20ms | after 10s`. */
export type Moment = Policy | string

/** Reads the policy of a moment. */
export const readMoment = (moment: Moment): Effect.Effect<Policy, MomentInvalid> =>
  Effect.suspend(() => Effect.fromResult(readMomentResult(moment)))

/** A problem at a place of a policy's JSON, and its line with a caret below the place. */
const problemInWords = (
  text: string,
  at: number,
  message: string,
  path: ReadonlyArray<string | number> = []
): string => {
  const newline = /\r\n|\r|\n/
  const before = text.slice(0, at).split(newline)
  const column = (before.at(-1) ?? "").length + 1
  const lines = text.split(newline)
  const place = [
    ...(newline.test(text.trimEnd()) ? [`line ${before.length}`] : []),
    `column ${column}`,
    ...(path.length === 0 ? [] : [path.join(".")])
  ]
  return `policy, ${place.join(", ")}: ${message}\n${pointedAt(lines[before.length - 1] ?? "", column)}`
}

const readJson = (text: string): Result.Result<Policy, string> => {
  const problem = problemInJson(text)
  if (problem !== null) return Result.fail(problemInWords(text, problem.at, problem.message))
  return Result.mapError(decodePolicy(JSON.parse(text)), ({ problems }) =>
    problems.map(({ message, path }) => problemInWords(text, placeInJson(text, path), message, path)).join("\n")
  )
}

/** The policy of a moment, at once. */
export const readMomentResult = (moment: Moment): Result.Result<Policy, MomentInvalid> => {
  if (moment instanceof Policy) return Result.succeed(moment)
  if (typeof moment !== "string") {
    const found = describeValue(moment)
    const why = `policy: expected a policy, its JSON as a text, or an expression such as "listener:8080", found ${found}`
    return Result.fail(new MomentInvalid({ found, why }))
  }
  const read = moment.trimStart().startsWith("{")
    ? readJson(moment)
    : Result.mapError(parsePolicy(moment), ({ message }) => message)
  return Result.mapError(read, (why) => new MomentInvalid({ found: moment, why }))
}
