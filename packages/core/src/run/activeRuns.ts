/**
 * Ownership of a run: the process that has claimed its name in the journal.
 *
 * @module
 */
import { Effect, Exit, Scope } from "effect"
import { type Claim, Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { RunRefused } from "./decide.ts"
import type { RunContextShape } from "./RunContext.ts"
import { isEnded } from "./RunState.ts"
import { runStreamName } from "./runStream.ts"

/** Claims a run; `null` while another process has claimed it. */
export const claimRun = (runId: string): Effect.Effect<Claim | null, JournalError, Journal | Scope.Scope> =>
  Effect.flatMap(Journal, (journal) => journal.claim(runStreamName(runId)))

/** Claims a run while an effect lasts; a run that has ended is not claimed again. */
export const whileActive = <A, E, R>(run: RunContextShape, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const claim = yield* claimRun(run.runId).pipe(Scope.provide(scope))
      return { claim, scope }
    }),
    ({ claim }) =>
      Effect.gen(function* () {
        if (claim !== null) return yield* effect
        const { phase } = yield* run.state
        return yield* new RunRefused({
          command: "Start",
          phase,
          why: "another process is working on a run with this id"
        })
      }),
    ({ claim, scope }) =>
      Effect.gen(function* () {
        if (claim !== null && isEnded(yield* run.state)) yield* claim.retire
        yield* Scope.close(scope, Exit.void)
      })
  )
