/**
 * Captures: a boot, a policy, and the stages between them and a snapshot that is ready.
 *
 * @module
 */
import { resolve } from "node:path"
import { Effect, Exit, pipe, Scope, Stream } from "effect"
import { bootSpecProblems } from "../bootSpecProblems.ts"
import type { FileFault, FileUnfit } from "../files/FileErrors.ts"
import type { Firing } from "../Firing.ts"
import type { GateOptions } from "../gate/GateOptions.ts"
import { flagProblems, isFunction, isRecord, isText, kindProblems, unknownProblems } from "../optionProblems.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import type { CaptureError, ExecError, ForkError, MachineError } from "../MachineErrors.ts"
import { makeRunContext, RunContext, type RunCommandError } from "../run/RunContext.ts"
import type { SnapshotPublishError } from "../snapshot/SnapshotErrors.ts"
import type { Snapshot, SnapshotStore } from "../snapshot/SnapshotStore.ts"
import { lockstepTimeline } from "../timeline/lockstepTimeline.ts"
import { sharedTimeline } from "../timeline/sharedTimeline.ts"
import type { Trigger, TriggerError } from "../Trigger.ts"
import { type BootSpec, type ExecSpec, type Vmm } from "../Vmm.ts"
import type {
  FreezeFailed,
  GuestDiskFailed,
  PipelineRefused,
  PreExecMissed,
  StageTimedOut,
  ThawFailed,
  ValidationFailed,
  WarmUpFailed
} from "./PipelineErrors.ts"
import { refuseProblems, type RunSubject, runStages } from "./runStages.ts"
import * as Stage from "./Stage.ts"
import { awaitPolicy, type Fired, firedAs } from "./stages/awaitPolicy.ts"
import { adopt, boot, bootWatched, type Booted, type WatchOptions } from "./stages/boot.ts"
import { capture, publish, type Published } from "./stages/capture.ts"
import { freeze, type FreezeOptions } from "./stages/freeze.ts"
import { prefetch } from "./stages/prefetch.ts"
import { type Probe, validate } from "./stages/validate.ts"
import { warmUp } from "./stages/warmUp.ts"
import { captureShapeProblems, type standardStages, targetAt, watchShapeProblems } from "./shapeProblems.ts"
import { watchGuard, type WatchFailure, type WatchLimit } from "./watchGuard.ts"

/** Names of the standard stages. */
export type StandardStage = (typeof standardStages)[number]

/** A pipeline from a boot to a published snapshot, made of the standard stages. */
export interface CaptureOptions extends WatchLimit {
  /** Name in journals; `capture` if absent. */
  readonly name?: string
  readonly policy: Trigger
  /** Directory that the snapshot is published to. */
  readonly target: string
  /** Replace the snapshot at the target. It is gone once the new one is published, even if the new one then fails its validation. */
  readonly replace?: boolean
  /** Commands to execute in the guest when the policy has fired, before the capture. */
  readonly warmUp?: ReadonlyArray<ExecSpec>
  readonly freeze?: FreezeOptions
  /** Probe that a clone of the snapshot must pass before it is ready. */
  readonly validate?: Probe<unknown, never>
  /** Options for the gate of the validation's clone. */
  readonly gate?: GateOptions
  /** Whether to read the pages that the validation's clone touched into the host's memory once the snapshot is ready. */
  readonly prefetch?: boolean
  /** Retries and timeouts of single stages; other stages are tried once, without a time limit. */
  readonly tuning?: Readonly<Partial<Record<StandardStage, Stage.StageTuning>>>
}

/** A snapshot that a pipeline took, and why it was taken at that moment. */
export interface Ready {
  readonly firing: Firing
  readonly snapshot: Snapshot
  readonly pauseNanos: number
  /** Bytes that the snapshot occupies on the disk. */
  readonly storedBytes: number
}

const subjectOf = (spec: BootSpec, options: CaptureOptions): RunSubject => ({
  name: options.name ?? "capture",
  spec,
  policy: options.policy,
  target: options.target,
  isValidated: options.validate !== undefined
})

/** Everything a standard pipeline can fail with after its machine was booted. */
export type CaptureFailure =
  | PipelineRefused
  | RunCommandError
  | TriggerError
  | MachineError
  | ExecError
  | ForkError
  | CaptureError
  | SnapshotPublishError
  | FreezeFailed
  | ThawFailed
  | PreExecMissed
  | GuestDiskFailed
  | WatchFailure
  | FileFault
  | FileUnfit
  | WarmUpFailed
  | ValidationFailed
  | StageTimedOut

const readyOf = ({ captured, firing, snapshot }: Published): Ready => ({
  firing,
  snapshot,
  pauseNanos: captured.pauseNanos,
  storedBytes: captured.files.reduce((sum, file) => sum + file.storedBytes, 0)
})

/** A stage with the tuning that the options give for its name. */
const tuned = <In, Out, E, R>(stage: Stage.Stage<In, Out, E, R>, options: Pick<CaptureOptions, "tuning">) => {
  const tuning = Object.entries(options.tuning ?? {}).find(([name]) => name === stage.names[0])?.[1]
  return tuning === undefined ? stage : Stage.tuned(stage, tuning)
}

/** The stages from a machine whose policy has fired to a ready snapshot. */
const fromFired = (
  options: CaptureOptions,
  parent: Snapshot | null = null
): Stage.Stage<Fired, Published, CaptureFailure, Vmm | SnapshotStore | RunContext | Scope.Scope> => {
  const { validate: probe, warmUp: commands = [] } = options
  const published = pipe(
    tuned(freeze(options.freeze), options),
    Stage.andThen(tuned(capture(options.target, { parent, replace: options.replace ?? false }), options)),
    Stage.andThen(
      tuned(
        publish({ replace: options.replace ?? false, validation: probe === undefined ? "none" : "required" }),
        options
      )
    )
  )
  const checked =
    probe === undefined ? published : Stage.andThen(published, tuned(validate(probe, options.gate), options))
  const fetched = options.prefetch === true ? Stage.andThen(checked, tuned(prefetch, options)) : checked
  return commands.length === 0 ? fetched : Stage.andThen(tuned(warmUp(...commands), options), fetched)
}

const captureOptionNames = {
  name: true,
  policy: true,
  target: true,
  replace: true,
  warmUp: true,
  freeze: true,
  validate: true,
  gate: true,
  prefetch: true,
  tuning: true,
  watchLimit: true,
  observe: true,
  begun: true,
  recordGuest: true,
  deltas: true
} as const satisfies Record<keyof (CaptureOptions & RepeatOptions), true>

const freezeOptionNames = { when: true, deadline: true } as const satisfies Record<keyof FreezeOptions, true>

/** Problems of capture options by name: unknown options are refused, not ignored. */
const captureProblems = (options: CaptureOptions): ReadonlyArray<string> => [
  ...unknownProblems("options", options, captureOptionNames),
  ...unknownProblems("freeze", options.freeze, freezeOptionNames),
  ...flagProblems("replace", options.replace),
  ...flagProblems("prefetch", options.prefetch)
]

/** The stages from a machine before its first instruction to a ready snapshot. */
const captureStages = (options: CaptureOptions) =>
  pipe(
    tuned(awaitPolicy(options.policy, options), options),
    Stage.andThen(fromFired(options)),
    Stage.checked(Effect.sync(() => captureProblems(options)))
  )

/**
 * Boots a guest, lets it run until the policy fires, and publishes a snapshot of that moment.
 *
 * The machine lives until the scope closes.
 *
 * @example
 * ```ts
 * import { type BootSpec, Pipeline, type Trigger } from "@stillpoint/core"
 *
 * export const snapshotOf = (spec: BootSpec, policy: Trigger) =>
 *   Pipeline.run(spec, {
 *     policy,
 *     target: "snapshots/web",
 *     validate: Pipeline.execProbe({ argv: ["wget", "-qO-", "http://127.0.0.1:8080"] })
 *   })
 * ```
 */
export const run = (spec: BootSpec, options: CaptureOptions & WatchOptions) =>
  Effect.gen(function* () {
    const stagesOf = (options: CaptureOptions & WatchOptions) =>
      Stage.andThen(tuned(boot(options), options), captureStages(options))
    const problems = [...bootSpecProblems("spec", spec), ...captureShapeProblems(options, "path")]
    // A run looks at its stages itself, where nothing else is wrong.
    if (problems.length > 0) {
      yield* refuseProblems("capture", [...problems, ...(yield* stageProblems(stagesOf, options, problems))])
    }
    const { runId, value } = yield* runStages(subjectOf(spec, options), stagesOf(options), spec)
    return { runId, value: readyOf(value) }
  })

/**
 * Watches one boot with several policies side by side, at least one, and takes a snapshot at each policy's moment. Each policy has its own run.
 *
 * Each capture, with its freeze, happens in a fork, so no policy sees the effects of another policy's capture. The guest continues
 * until every policy has fired or ended; the failure of one does not affect the others.
 */
export const sideBySide = Effect.fn("Pipeline.sideBySide")(function* (
  spec: BootSpec,
  captures: ReadonlyArray<CaptureOptions>,
  options: WatchOptions = {}
) {
  yield* refuseProblems("side by side", [
    ...bootSpecProblems("spec", spec),
    ...watchShapeProblems(options),
    ...(Array.isArray(captures)
      ? yield* sideProblems(captures)
      : kindProblems("captures", captures, "a list of the options of captures", Array.isArray))
  ])
  const { guestStream, hadAgent, machine } = yield* bootWatched(spec, options)
  const shared = sharedTimeline(machine)
  const scope = yield* Scope.Scope
  // All captures subscribe before any advances the guest.
  const watching = yield* Effect.forEach(captures, (options) =>
    Effect.gen(function* () {
      const view = yield* Scope.fork(scope)
      const timeline = yield* Scope.provide(shared.join, view)
      return {
        options,
        view,
        booted: { machine, timeline, spec, guestStream, hadAgent, goesOn: true } satisfies Booted
      }
    })
  )
  return yield* Effect.forEach(
    watching,
    ({ booted, options, view }) =>
      runStages(subjectOf(spec, options), Stage.andThen(adopt, captureStages(options)), booted).pipe(
        Effect.map(({ runId, value }) => ({ runId, value: readyOf(value) })),
        Effect.ensuring(Scope.close(view, Exit.void)),
        Effect.result
      ),
    { concurrency: "unbounded" }
  )
})

/** The option that a problem is about. */
const optionOf = (problem: string): string => /^[^.:(]*/.exec(problem)?.[0] ?? ""

/** A placeholder for a policy of which only the place matters. */
const anyPolicy: Trigger = {
  name: "any",
  description: null,
  interest: [],
  await: Effect.never,
  firings: Stream.never
}

/** Problems that a capture's stages report for options whose shapes are valid; `problems` are those of the shapes. */
const stageProblems = <R>(
  stagesOf: (options: CaptureOptions) => { readonly check: Effect.Effect<ReadonlyArray<string>, never, R> },
  options: CaptureOptions,
  problems: ReadonlyArray<string>
) => {
  if (!isRecord(options)) return Effect.succeed([])
  const wrong = new Set(problems.map(optionOf))
  const right = Object.fromEntries(Object.entries(options).filter(([name]) => !wrong.has(name)))
  const { check } = stagesOf({ policy: anyPolicy, target: ".", ...right })
  return Effect.flatMap(makeRunContext("a run to be"), (run) => Effect.provideService(check, RunContext, run)).pipe(
    Effect.map((found) => found.filter((problem) => !wrong.has(optionOf(problem))))
  )
}

/** Problems of a capture that is of no run yet. */
const problemsOf = (options: CaptureOptions) => {
  const problems = captureShapeProblems(options, "path")
  return Effect.map(stageProblems(captureStages, options, problems), (others) => [...problems, ...others])
}

/** Problems of several captures of one boot: those of each, and targets that occur twice. */
const sideProblems = (captures: ReadonlyArray<CaptureOptions>) =>
  Effect.map(Effect.forEach(Array.from(captures), problemsOf), (problems) => {
    const targets = captures.flatMap((one) => (isRecord(one) && isText(one.target) ? [resolve(one.target)] : []))
    const shared = [...new Set(targets.filter((target, index) => targets.indexOf(target) !== index))]
    return [
      ...(captures.length === 0 ? ["captures: expected the options of at least one capture, found none"] : []),
      ...problems.flatMap((own, index) => own.map((problem) => `capture ${index}: ${problem}`)),
      ...shared.map((target) => `target: ${target} is what several captures are published to`)
    ]
  })

/** Problems of a policy's captures, as far as they can be seen from the first. */
const repeatProblems = (options: RepeatOptions) => {
  const shape = captureShapeProblems(options, "paths")
  if (!isRecord(options)) return Effect.succeed(shape)
  const { problems: ofTarget, target } = isFunction(options.target)
    ? targetAt(options.target, 0)
    : { problems: [], target: "" }
  const problems = [...shape, ...ofTarget]
  return Effect.map(stageProblems(captureStages, { ...options, target }, problems), (others) => [
    ...problems,
    ...others
  ])
}

/** Options for capturing a repeating policy. */
export interface RepeatOptions extends Omit<CaptureOptions, "target">, WatchOptions {
  /** Names the directory of the n-th snapshot (0, 1, 2 …). */
  readonly target: (index: number) => string
  /** Whether every snapshot after the first is a delta to the previous one; each is full if absent. */
  readonly deltas?: boolean
}

/**
 * Takes a snapshot of one boot at every firing of a repeating policy. Each snapshot has its own run.
 *
 * The guest continues when the next snapshot is pulled. The stream fails if the policy can fire no more and never did, if the guest or
 * the policy's subject has ended, or if the wait for a firing exceeds `watchLimit`.
 */
export const repeat = (spec: BootSpec, options: RepeatOptions) =>
  Stream.unwrap(
    Effect.gen(function* () {
      yield* refuseProblems("repeat", [...bootSpecProblems("spec", spec), ...(yield* repeatProblems(options))])
      const { guestStream, hadAgent, machine } = yield* bootWatched(spec, options)
      const timeline = yield* lockstepTimeline(machine)
      const guard = yield* watchGuard(options.policy, timeline, options)
      const booted: Booted = { machine, timeline, spec, guestStream, hadAgent, goesOn: true }
      let previous: Snapshot | null = null
      return options.policy.firings.pipe(
        Stream.provideService(GuestTimeline, guard.timeline),
        // Each pull is interrupted separately: interrupting the whole stream would pull ahead, and the guest would continue.
        (firings) => Stream.transformPull(firings, (pull) => Effect.succeed(Effect.raceFirst(pull, guard.ended))),
        Stream.mapEffect((firing) => {
          const { problems, target } = targetAt(options.target, firing.index)
          const one: CaptureOptions = { ...options, target }
          const parent = options.deltas === true ? previous : null
          const stages = pipe(
            adopt,
            Stage.andThen(firedAs(options.policy, firing)),
            Stage.andThen(fromFired(one, parent))
          )
          const captured = Effect.scoped(runStages(subjectOf(spec, one), stages, booted))
          return Effect.andThen(refuseProblems("repeat", problems), captured).pipe(
            Effect.map(({ runId, value }) => ({ runId, value: readyOf(value) })),
            Effect.tap(({ value }) => {
              previous = value.snapshot
              return guard.renew
            })
          )
        })
      )
    })
  )

export { type Outcome, RunIds, type RunSubject, runStages } from "./runStages.ts"
export { awaitPolicy, type Fired, firedAs } from "./stages/awaitPolicy.ts"
export { adopt, type Begun, boot, type Booted, bootWatched, type WatchOptions } from "./stages/boot.ts"
export {
  capture,
  type Captured,
  type CaptureStageOptions,
  keepInMemory,
  type Kept,
  publish,
  type Published
} from "./stages/capture.ts"
export { type Pooled, pool } from "./stages/pool.ts"
export { prefetch } from "./stages/prefetch.ts"
export { freeze, type Frozen, type FreezeOptions } from "./stages/freeze.ts"
export { execProbe, type ExecProbe, type Probe, validate, type Validated } from "./stages/validate.ts"
export { warmUp, warmUpWith } from "./stages/warmUp.ts"
export type { WatchFailure, WatchLimit } from "./watchGuard.ts"
