import { Effect } from "effect"
import { OptionsInvalid } from "./NameErrors.ts"

/** Refuses options for all that is wrong with them. */
export const refuseProblems = ([problem, ...problems]: ReadonlyArray<string>): Effect.Effect<void, OptionsInvalid> =>
  problem === undefined ? Effect.void : Effect.fail(new OptionsInvalid({ problems: [problem, ...problems] }))
