/**
 * The run that a stage belongs to: its id, its state, and the means to report to it.
 *
 * @module
 */
import { Clock, Context, Effect, Exit, Result, Semaphore } from "effect"
import { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { decide, type RunRefused } from "./decide.ts"
import type { RunCommand } from "./RunCommand.ts"
import { evolve, type RunState } from "./RunState.ts"
import { loadRun, runRecordOf, runStreamName } from "./runStream.ts"

/** Errors of a command: the journal's, or the run's refusal. */
export type RunCommandError = JournalError | RunRefused

/** Operations of a {@link RunContext}. */
export interface RunContextShape {
  readonly runId: string
  /** The state after everything that was appended. */
  readonly state: Effect.Effect<RunState>
  /** Decides a command, appends its events, and gives the state after them. When it returns, they are durable. */
  readonly tell: (command: RunCommand) => Effect.Effect<RunState, RunCommandError>
}

/** The run in progress; every stage has it. */
export class RunContext extends Context.Service<RunContext, RunContextShape>()("@stillpoint/core/run/RunContext") {}

/** A context for a run, new or continued, from its stream in the journal. */
export const makeRunContext = (runId: string): Effect.Effect<RunContextShape, JournalError, Journal> =>
  Effect.gen(function* () {
    const journal = yield* Journal
    const writing = yield* Semaphore.make(1)
    let { state, version }: { state: RunState; version: number } = yield* loadRun(runId)
    return {
      runId,
      state: Effect.sync(() => state),
      tell: (command) =>
        Effect.gen(function* () {
          const decision = decide(state, command)
          if (Result.isFailure(decision)) return yield* decision.failure
          const at = yield* Clock.currentTimeMillis
          const appended = yield* journal.append(
            runStreamName(runId),
            decision.success.map((event) => runRecordOf(event, at)),
            { expectedVersion: version }
          )
          version = appended.version
          for (const event of decision.success) state = evolve(state, event)
          return state
        }).pipe(
          // An append is all or nothing, and its events must be known here.
          Effect.uninterruptible,
          (write) => Semaphore.withPermit(writing, write)
        )
    }
  })

/** Whether an exit is only an interruption. */
export const isCancelled = <A, E>(exit: Exit.Exit<A, E>): boolean =>
  Exit.hasInterrupts(exit) && !Exit.hasFails(exit) && !Exit.hasDies(exit)
