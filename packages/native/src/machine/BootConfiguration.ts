/**
 * Checks a boot specification before anything is read or allocated.
 *
 * @module
 */
import { BootError, type BootSpec, bootSpecProblems } from "@stillpoint/core"
import { Effect } from "effect"

/** Refuses what cannot be booted, with all problems at once and where each is. */
export const checkBootSpec = (spec: BootSpec): Effect.Effect<BootSpec, BootError> =>
  Effect.suspend(() => {
    const problems = bootSpecProblems("boot", spec)
    return problems.length === 0
      ? Effect.succeed(spec)
      : Effect.fail(new BootError({ reason: { _tag: "InvalidConfiguration", message: problems.join("; ") } }))
  })
