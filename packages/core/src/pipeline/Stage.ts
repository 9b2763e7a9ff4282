/**
 * One step of a run: a named Effect from an input to an output, recorded in the run's journal.
 *
 * @module
 */
import { Cause, Clock, Duration, Effect, Exit, Metric, Option, type Schedule } from "effect"
import { dual } from "effect/Function"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import { isCancelled, RunContext, type RunCommandError } from "../run/RunContext.ts"
import { isEnded } from "../run/RunState.ts"
import type { RecordedError } from "../run/RunEvent.ts"
import { TriggerError } from "../Trigger.ts"
import { durationProblems } from "../optionProblems.ts"
import { StageTimedOut } from "./PipelineErrors.ts"
import { type Progress, ProgressListener } from "./Progress.ts"
import { stageDuration, stageFailures } from "./stageMetrics.ts"

/** A step, or several in a row, from `In` to `Out`. */
export interface Stage<in In, out Out, out E, out R> extends Pipeable {
  /** Names of the steps, in order. */
  readonly names: ReadonlyArray<string>
  /** Checks how the stage was made, before a run begins; a run is refused with the problems of all stages. */
  readonly check: Effect.Effect<ReadonlyArray<string>, never, R>
  /** Runs it as part of the run in the context. */
  readonly run: (input: In) => Effect.Effect<Out, E | RunCommandError, R | RunContext>
  /** The same with another retry and timeout; see {@link tuned}. */
  readonly tune: (tuning: StageTuning) => Stage<In, Out, E, R>
}

/** How to retry a step, for any of its errors. */
export interface StageTuning {
  /** Tries again after a failure, as often and as late as the schedule says. */
  readonly retry?: Schedule.Schedule<unknown>
  /** Host time that one try may take. */
  readonly timeout?: Duration.Input
}

/** How to retry a step. */
export interface StageOptions<E, In = never, R = never> {
  /** Tries again after a failure, as often and as late as the schedule says. */
  readonly retry?: Schedule.Schedule<unknown, E>
  /** Host time that one try may take. */
  readonly timeout?: Duration.Input
  /** Called with the last error, or with the timeout, before the run ends by it. */
  readonly onFailure?: (error: E, input: In) => Effect.Effect<void, never, R>
  /** Checks the stage before its run begins. */
  readonly check?: Effect.Effect<ReadonlyArray<string>, never, R>
}

const stageOf = <In, Out, E, R>(
  names: ReadonlyArray<string>,
  check: Stage<In, Out, E, R>["check"],
  run: Stage<In, Out, E, R>["run"],
  tune: Stage<In, Out, E, R>["tune"]
): Stage<In, Out, E, R> => ({
  names,
  check,
  run,
  tune,
  pipe(...functions: ReadonlyArray<unknown>) {
    return pipeArguments(this, functions as unknown as IArguments)
  }
})

/** The form of an error in a journal. */
export const recordError = (error: unknown): RecordedError => {
  const tag = typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : "Defect"
  return { tag, message: error instanceof Error ? error.message : String(error) }
}

/** Whether an error is a policy's decision not to capture, and not a malfunction. */
const isDecisionAgainst = (error: unknown): boolean =>
  error instanceof TriggerError && (error.reason._tag === "NothingArmed" || error.reason._tag === "Abandoned")

const elapsedSince = (begun: bigint): Effect.Effect<number> =>
  Effect.map(Clock.monotonicTimeNanos, (now) => Number(now - begun))

/**
 * A stage from a function.
 *
 * Each try is recorded and reported; the last failure ends the run as failed, an interruption as abandoned. A retried stage
 * must be able to start again: the resources that it acquires belong in a scope of its own.
 *
 * @example
 * ```ts
 * import { Stage } from "@stillpoint/core"
 * import { Effect, Schedule } from "effect"
 *
 * export const fetchDataset = Stage.make("fetch dataset", (url: string) => Effect.succeed(url.length), {
 *   retry: Schedule.recurs(3),
 *   timeout: "10 seconds"
 * })
 * console.log(fetchDataset.names) // [ 'fetch dataset' ]
 * ```
 */
export const make = <In, Out, E, R>(
  name: string,
  body: (input: In) => Effect.Effect<Out, E, R>,
  options: StageOptions<E | StageTimedOut, In, R> = {}
): Stage<In, Out, E | StageTimedOut, R> =>
  stageOf(
    [name],
    Effect.map(options.check ?? Effect.succeed([]), (problems) => [
      ...durationProblems(`${name}.timeout`, options.timeout),
      ...problems
    ]),
    (input) => runStage(name, body, options, input),
    (tuning) => make(name, body, { ...options, ...tuning })
  )

const runStage = <In, Out, E, R>(
  name: string,
  body: (input: In) => Effect.Effect<Out, E, R>,
  options: StageOptions<E | StageTimedOut, In, R>,
  input: In
): Effect.Effect<Out, E | StageTimedOut | RunCommandError, R | RunContext> =>
  Effect.gen(function* () {
    const run = yield* RunContext
    const listener = yield* ProgressListener
    const begun = yield* Clock.monotonicTimeNanos
    let attempt = 1
    const report = (status: Progress["status"], detail = "") =>
      Effect.flatMap(elapsedSince(begun), (hostNanos) =>
        listener({ runId: run.runId, stage: name, status, attempt, hostNanos, detail })
      )

    const once = Effect.suspend(() =>
      Effect.withSpan(body(input), `stage ${name}`, { attributes: { stage: name, attempt } })
    )
    const limit = options.timeout === undefined ? null : Duration.fromInputUnsafe(options.timeout)
    const limited =
      limit === null
        ? once
        : Effect.timeoutOrElse(once, {
            duration: limit,
            orElse: () => new StageTimedOut({ stage: name, limitMillis: Duration.toMillis(limit) })
          })
    const again = (error: E | StageTimedOut) =>
      Effect.gen(function* () {
        attempt += 1
        const recorded = recordError(error)
        yield* Effect.ignore(run.tell({ _tag: "RetryStage", stage: name, attempt, error: recorded }))
        yield* report("retrying", recorded.message)
      })
    // Told between the tries: the schedule decides first, so that a last failure is not called a retry.
    let pending: { readonly error: E | StageTimedOut } | null = null
    const announced = Effect.suspend(() => (pending === null ? Effect.void : again(pending.error))).pipe(
      Effect.andThen(limited),
      Effect.tapError((error) =>
        Effect.sync(() => {
          pending = { error }
        })
      )
    )
    const tried = options.retry === undefined ? limited : Effect.retry(announced, options.retry)

    const ended = (exit: Exit.Exit<Out, E | StageTimedOut>) =>
      Effect.gen(function* () {
        const state = yield* run.state
        if (Exit.isSuccess(exit)) {
          const hostNanos = yield* elapsedSince(begun)
          if (!isEnded(state)) yield* run.tell({ _tag: "FinishStage", stage: name, hostNanos })
          yield* Metric.update(Metric.withAttributes(stageDuration, { stage: name }), hostNanos / 1e6)
          return yield* report("finished")
        }
        const cancelled = isCancelled(exit)
        const failure = Cause.squash(exit.cause)
        const error = recordError(failure)
        yield* Metric.update(Metric.withAttributes(stageFailures, { stage: name, error: error.tag }), 1)
        if (!isEnded(state)) {
          yield* run.tell(
            cancelled
              ? { _tag: "Abandon", why: `cancelled during ${name}` }
              : isDecisionAgainst(failure)
                ? { _tag: "Abandon", why: error.message }
                : { _tag: "Fail", stage: name, error }
          )
        }
        yield* report(cancelled ? "cancelled" : "failed", cancelled ? "" : error.message)
      })

    // Stages after a ready snapshot are reported and traced; the run itself has ended.
    if (!isEnded(yield* run.state)) yield* run.tell({ _tag: "StartStage", stage: name, attempt })
    yield* report("started")
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(restore(tried))
        const error = Exit.isFailure(exit) ? Cause.findErrorOption(exit.cause) : Option.none()
        if (Option.isSome(error)) yield* options.onFailure?.(error.value, input) ?? Effect.void
        yield* Exit.isSuccess(exit) ? ended(exit) : Effect.ignore(ended(exit))
        return yield* exit
      })
    )
  })

/**
 * One stage after another: the output of the first is the input of the second.
 *
 * @example
 * ```ts
 * import { Stage } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const parse = Stage.make("parse", (text: string) => Effect.succeed(Number(text)))
 * const double = Stage.make("double", (n: number) => Effect.succeed(n * 2))
 * console.log(Stage.andThen(parse, double).names) // [ 'parse', 'double' ]
 * ```
 */
export const andThen: {
  <Mid, Out, E2, R2>(
    second: Stage<Mid, Out, E2, R2>
  ): <In, E, R>(first: Stage<In, Mid, E, R>) => Stage<In, Out, E | E2, R | R2>
  <In, Mid, E, R, Out, E2, R2>(
    first: Stage<In, Mid, E, R>,
    second: Stage<Mid, Out, E2, R2>
  ): Stage<In, Out, E | E2, R | R2>
} = dual(
  2,
  <In, Mid, E, R, Out, E2, R2>(
    first: Stage<In, Mid, E, R>,
    second: Stage<Mid, Out, E2, R2>
  ): Stage<In, Out, E | E2, R | R2> =>
    stageOf(
      [...first.names, ...second.names],
      Effect.zipWith(first.check, second.check, (one, other) => [...one, ...other]),
      (input: In) => Effect.flatMap(first.run(input), second.run),
      (tuning) => andThen(first.tune(tuning), second.tune(tuning))
    )
)

/**
 * The stage with another retry and timeout. Of several in a row, each of them.
 *
 * @example
 * ```ts
 * import { Pipeline, Stage } from "@stillpoint/core"
 * import { Schedule } from "effect"
 *
 * const probe = Pipeline.execProbe({ argv: ["wget", "-qO-", "http://127.0.0.1:8080"] })
 * const patient = Stage.tuned(Pipeline.validate(probe), { retry: Schedule.recurs(2), timeout: "20 seconds" })
 * console.log(patient.names) // [ 'validate' ]
 * ```
 */
export const tuned: {
  (tuning: StageTuning): <In, Out, E, R>(stage: Stage<In, Out, E, R>) => Stage<In, Out, E, R>
  <In, Out, E, R>(stage: Stage<In, Out, E, R>, tuning: StageTuning): Stage<In, Out, E, R>
} = dual(2, <In, Out, E, R>(stage: Stage<In, Out, E, R>, tuning: StageTuning): Stage<In, Out, E, R> =>
  stage.tune(tuning)
)

/** The stage with more to look at before its run begins. */
export const checked: {
  <R2>(
    check: Effect.Effect<ReadonlyArray<string>, never, R2>
  ): <In, Out, E, R>(stage: Stage<In, Out, E, R>) => Stage<In, Out, E, R | R2>
  <In, Out, E, R, R2>(
    stage: Stage<In, Out, E, R>,
    check: Effect.Effect<ReadonlyArray<string>, never, R2>
  ): Stage<In, Out, E, R | R2>
} = dual(
  2,
  <In, Out, E, R, R2>(
    stage: Stage<In, Out, E, R>,
    check: Effect.Effect<ReadonlyArray<string>, never, R2>
  ): Stage<In, Out, E, R | R2> =>
    stageOf(
      stage.names,
      Effect.zipWith(stage.check, check, (one, other) => [...one, ...other]),
      stage.run,
      (tuning) => checked(stage.tune(tuning), check)
    )
)

/** A stage with a side effect that passes its input on. */
export const tap = <In, E, R>(
  name: string,
  body: (input: In) => Effect.Effect<unknown, E, R>,
  options: StageOptions<E | StageTimedOut, In, R> = {}
): Stage<In, In, E | StageTimedOut, R> => make(name, (input: In) => Effect.as(body(input), input), options)
