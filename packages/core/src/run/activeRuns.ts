/**
 * Ownership of a run: the process that has claimed its name in the journal.
 *
 * @module
 */
import { Effect, Exit, Scope } from "effect"
import { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { RunRefused } from "./decide.ts"
import type { RunContextShape } from "./RunContext.ts"
import { runStreamName } from "./runStream.ts"

/** Claims a run; `false` while another process has claimed it. */
export const claimRun = (runId: string): Effect.Effect<boolean, JournalError, Journal | Scope.Scope> =>
  Effect.flatMap(Journal, (journal) => journal.claim(runStreamName(runId)))

/** Claims a run while an effect lasts. */
export const whileActive = <A, E, R>(run: RunContextShape, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const isOurs = yield* claimRun(run.runId).pipe(Scope.provide(scope))
      return { isOurs, scope }
    }),
    ({ isOurs }) =>
      Effect.gen(function* () {
        if (isOurs) return yield* effect
        const { phase } = yield* run.state
        return yield* new RunRefused({
          command: "Start",
          phase,
          why: "another process is working on a run with this id"
        })
      }),
    ({ scope }) => Scope.close(scope, Exit.void)
  )
