/**
 * Moments as people write them.
 *
 * @module
 */
import { describeValue, repeatedName } from "@stillpoint/core"
import { decodePolicy, parsePolicy, Policy, type PolicyProblem } from "@stillpoint/triggers"
import { Effect, Result } from "effect"
import { placeInJson } from "./jsonPlace.ts"
import { MomentInvalid } from "./SandboxError.ts"

/** When to capture: a policy, its JSON as a string, or an expression such as `listener:8080 & calm 20ms | after 10s`. */
export type Moment = Policy | string

/** Reads the policy of a moment. */
export const readMoment = (moment: Moment): Effect.Effect<Policy, MomentInvalid> =>
  Effect.suspend(() => Effect.fromResult(readMomentResult(moment)))

/** A problem of a policy's JSON, and where it stands. */
const problemInWords = (text: string, { message, path }: PolicyProblem): string => {
  const { column, line } = placeInJson(text, path)
  const place = text.trimEnd().includes("\n") ? `line ${line}, column ${column}` : `column ${column}`
  return `policy, ${[place, ...(path.length === 0 ? [] : [path.join(".")])].join(", ")}: ${message}`
}

/** The policy of a moment, at once. */
export const readMomentResult = (moment: Moment): Result.Result<Policy, MomentInvalid> => {
  if (moment instanceof Policy) return Result.succeed(moment)
  if (typeof moment !== "string") {
    const found = describeValue(moment)
    const why = `policy: expected a policy, its JSON as a text, or an expression such as "listener:8080", found ${found}`
    return Result.fail(new MomentInvalid({ found, why }))
  }
  const invalid = (why: string) => new MomentInvalid({ found: moment, why })
  if (!moment.trimStart().startsWith("{")) {
    return Result.mapError(parsePolicy(moment), ({ message }) => invalid(message))
  }
  return Result.flatMap(
    Result.try({
      try: (): unknown => JSON.parse(moment),
      catch: (cause) => {
        const found = cause instanceof Error ? cause.message : String(cause)
        // All other problems are told with their place.
        const end = found.includes("end of JSON") ? ` after column ${moment.trimEnd().split("\n").at(-1)?.length}` : ""
        return invalid(`policy: expected JSON, as it begins with a brace; ${found}${end}`)
      }
    }),
    (json) => {
      const repeated = repeatedName(moment)
      if (repeated !== null) {
        return Result.fail(
          invalid(`policy: expected every name once, found ${JSON.stringify(repeated)} twice in one object`)
        )
      }
      return Result.mapError(decodePolicy(json), ({ problems }) =>
        invalid(problems.map((problem) => problemInWords(moment, problem)).join("\n"))
      )
    }
  )
}
