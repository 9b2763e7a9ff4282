/**
 * Runs: stages with a journal, from their start to one of the ends.
 *
 * @module
 */
import { randomUUID } from "node:crypto"
import { resolve } from "node:path"
import { Cause, Context, Effect, Exit, Metric } from "effect"
import { Owner } from "../files/Owner.ts"
import { whileActive } from "../run/activeRuns.ts"
import { isCancelled, makeRunContext, RunContext } from "../run/RunContext.ts"
import { isEnded } from "../run/RunState.ts"
import type { Trigger } from "../Trigger.ts"
import type { BootSpec } from "../Vmm.ts"
import { bootSpecJson } from "./BootSpecJson.ts"
import { PipelineRefused } from "./PipelineErrors.ts"
import type * as Stage from "./Stage.ts"
import { recordError } from "./Stage.ts"
import { runsEnded } from "./stageMetrics.ts"

/** Makes ids of runs: random unless a test says otherwise. */
export const RunIds = Context.Reference<() => string>("@stillpoint/core/pipeline/RunIds", {
  defaultValue: () => () => randomUUID()
})

/** The subject of a run, as its journal records it. */
export interface RunSubject {
  /** Name of the pipeline. */
  readonly name: string
  readonly spec: BootSpec
  readonly policy: Trigger
  /** The target of the snapshot; `null` keeps it in memory. */
  readonly target: string | null
  /** Whether the run ends with a validation. */
  readonly isValidated: boolean
}

/** The result of a run. */
export interface Outcome<A> {
  readonly runId: string
  readonly value: A
}

/** Refuses a pipeline for all that is wrong with it. */
export const refuseProblems = (
  pipeline: string,
  [problem, ...problems]: ReadonlyArray<string>
): Effect.Effect<void, PipelineRefused> =>
  problem === undefined ? Effect.void : new PipelineRefused({ pipeline, problems: [problem, ...problems] })

/**
 * Runs stages as one run with its own journal stream. All problems of the stages are reported before anything begins.
 *
 * The run ends in every case: ready with its last stage, abandoned when interrupted or decided against, else failed. Machines and
 * staging directories belong to the scope.
 */
export const runStages = <In, Out, E, R>(subject: RunSubject, stage: Stage.Stage<In, Out, E, R>, input: In) =>
  Effect.gen(function* () {
    const runId = (yield* RunIds)()
    yield* Effect.annotateCurrentSpan({ runId })
    const run = yield* makeRunContext(runId)
    yield* refuseProblems(subject.name, yield* Effect.provideService(stage.check, RunContext, run))
    const started = run.tell({
      _tag: "Start",
      runId,
      pipeline: subject.name,
      owner: yield* Owner,
      policy: subject.policy.description,
      configuration: bootSpecJson(subject.spec),
      target: subject.target === null ? null : resolve(subject.target),
      isValidated: subject.isValidated
    })
    const body = Effect.andThen(started, stage.run(input)).pipe(Effect.provideService(RunContext, run))
    const ended = (exit: Exit.Exit<Out, unknown>) =>
      Effect.gen(function* () {
        const state = yield* run.state
        // Every stage tells its own failure; this is for what happens between stages, and for stages that do not end their run.
        if (state.phase !== "not-started" && !isEnded(state)) {
          const failure = Exit.isSuccess(exit)
            ? {
                tag: "Unfinished",
                message: `the last stage left the run ${state.phase}; it must publish or keep the snapshot`
              }
            : recordError(Cause.squash(exit.cause))
          yield* run.tell(
            isCancelled(exit)
              ? { _tag: "Abandon", why: "cancelled between its stages" }
              : { _tag: "Fail", stage: "pipeline", error: failure }
          )
        }
        yield* Metric.update(Metric.withAttributes(runsEnded, { outcome: (yield* run.state).phase }), 1)
      })
    const value = yield* whileActive(run, body.pipe(Effect.onExit((exit) => Effect.ignore(ended(exit)))))
    return { runId, value } satisfies Outcome<Out>
  }).pipe(Effect.withSpan("run", { attributes: { pipeline: subject.name } }))
