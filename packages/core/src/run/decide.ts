/**
 * A run's decision about a command: events, or a refusal.
 *
 * The table of states and commands. Every command that a state does not list is refused with a {@link RunRefused}; some are
 * refused for their content, such as a capture before its trigger. Tests compare the table with {@link decide} and `evolve`.
 *
 * ```text
 * state        meaning                                          command           then
 * not-started  nothing is known of it                           Start             booting
 * booting      its machine is being made                        RecordBoot        watching
 *                                                               Recover           failed
 * watching     the guest runs until the policy decides          RecordFiring      freezing
 *                                                               Recover           failed
 * freezing     decided; the guest is brought to rest            RecordFiring      freezing
 *                                                               RecordFreeze     capturing
 *                                                               Recover           failed
 * capturing    the guest stands still and is written down       RecordCapture     publishing
 *                                                               Recover           failed
 * publishing   written; the one rename is to come               RecordPublish     validating, ready
 *                                                               KeepInMemory      ready
 *                                                               Recover           ready, failed
 * validating   renamed; a clone of it is on trial               RecordValidation  ready, failed
 *                                                               Recover           ready, failed
 * unended      each of the states above, except the first       StartStage        unchanged
 *                                                               FinishStage       unchanged
 *                                                               RetryStage        unchanged
 *                                                               Abandon           abandoned
 *                                                               Fail              failed
 * ready        ended: the snapshot can be restored              none
 * abandoned    ended by decision: of a person, or the policy    none
 * failed       ended by an error                                none
 * ```
 *
 * @module
 */
import { Result, Schema } from "effect"
import type { RecoveryFindings, RunCommand } from "./RunCommand.ts"
import type { RunEvent } from "./RunEvent.ts"
import { isEnded, type RunPhase, type RunState } from "./RunState.ts"

const unended: ReadonlyArray<RunPhase> = ["booting", "watching", "freezing", "capturing", "publishing", "validating"]

/** The states in which each command is accepted; in all others it is refused. */
export const acceptedIn: Readonly<Record<RunCommand["_tag"], ReadonlyArray<RunPhase>>> = {
  Start: ["not-started"],
  RecordBoot: ["booting"],
  RecordFiring: ["watching", "freezing"],
  RecordFreeze: ["freezing"],
  RecordCapture: ["capturing"],
  RecordPublish: ["publishing"],
  KeepInMemory: ["publishing"],
  RecordValidation: ["validating"],
  StartStage: unended,
  FinishStage: unended,
  RetryStage: unended,
  Abandon: unended,
  Fail: unended,
  Recover: unended
}

/** A command that a run does not accept in its state. */
export class RunRefused extends Schema.TaggedError<RunRefused>()("RunRefused", {
  command: Schema.String,
  phase: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `${this.command} is refused while the run is ${this.phase}: ${this.why}`
  }
}

type Decision = Result.Result<ReadonlyArray<RunEvent>, RunRefused>

const recovered = (
  state: Exclude<RunState, { readonly phase: "not-started" }>,
  findings: RecoveryFindings
): ReadonlyArray<RunEvent> => {
  const cutOff = (detail: string): RunEvent => ({
    _tag: "RunFailed",
    stage: state.phase,
    error: { tag: "RunCutOff", message: `the process that ran it ended while it was ${state.phase}; ${detail}` }
  })
  const { validation } = findings
  // A published snapshot cannot belong to a run that keeps its snapshot in memory.
  const published = state.run.target === null ? null : findings.published
  if (published === null || (state.phase !== "publishing" && state.phase !== "validating")) {
    return [cutOff("nothing was published")]
  }
  const publishing: ReadonlyArray<RunEvent> =
    state.phase === "publishing" ? [{ _tag: "SnapshotPublished", ...published }] : []
  const ready: RunEvent = { _tag: "RunReady", directory: published.directory }
  if (!state.run.isValidated) return [...publishing, ready]
  switch (validation) {
    case "passed":
      return [...publishing, { _tag: "ValidationPassed", detail: "found on the disk", workingSetPages: 0 }, ready]
    case "failed":
      return [
        ...publishing,
        { _tag: "ValidationFailed", detail: "found on the disk" },
        cutOff("its validation had failed")
      ]
    case "absent":
      return [...publishing, cutOff("the snapshot was published and never validated, so it cannot be opened as ready")]
  }
}

/**
 * Decides which events a command causes in a state. Pure: a live run and a replay use the same table.
 *
 * @example
 * ```ts
 * import { decide, initialState } from "@stillpoint/core"
 * import { Result } from "effect"
 *
 * const early = decide(initialState, { _tag: "KeepInMemory" })
 * console.log(Result.isFailure(early) && early.failure.message)
 * // KeepInMemory is refused while the run is not-started: accepted only while publishing
 * ```
 */
export const decide = (state: RunState, command: RunCommand): Decision => {
  const refuse = (why: string): Decision =>
    Result.fail(new RunRefused({ command: command._tag, phase: state.phase, why }))
  if (!acceptedIn[command._tag].includes(state.phase)) {
    return refuse(isEnded(state) ? "it has ended" : `accepted only while ${acceptedIn[command._tag].join(", ")}`)
  }
  const accept = (...events: ReadonlyArray<RunEvent>): Decision => Result.succeed(events)
  if (command._tag === "Start") {
    const { _tag, ...body } = command
    return accept({ _tag: "RunStarted", ...body })
  }
  if (state.phase === "not-started") return refuse("it was not started")
  switch (command._tag) {
    case "RecordBoot": {
      const { _tag, ...body } = command
      return accept({ _tag: "MachineBooted", ...body })
    }
    case "RecordFiring":
      if (state.phase === "freezing" && command.firing.atNanos < state.firing.atNanos) {
        return refuse("a firing that takes over cannot come before the firing that it replaces")
      }
      return accept({ _tag: "TriggerFired", firing: command.firing })
    case "RecordFreeze": {
      if (state.phase === "freezing" && command.atNanos < state.firing.atNanos) {
        return refuse(`quiet at ${command.atNanos} ns is before the firing at ${state.firing.atNanos} ns`)
      }
      const { _tag, ...body } = command
      return accept({ _tag: "GuestFrozen", ...body })
    }
    case "RecordCapture": {
      if (state.phase === "capturing" && command.atNanos < state.firing.atNanos) {
        return refuse(`a capture at ${command.atNanos} ns is before the trigger at ${state.firing.atNanos} ns`)
      }
      const { _tag, ...body } = command
      return accept({ _tag: "CaptureCompleted", ...body })
    }
    case "RecordPublish": {
      if (state.run.target === null) return refuse("the run has no target; keep the snapshot in memory")
      const { _tag, ...body } = command
      const published: RunEvent = { _tag: "SnapshotPublished", ...body }
      return state.run.isValidated
        ? accept(published)
        : accept(published, { _tag: "RunReady", directory: command.directory })
    }
    case "KeepInMemory":
      return state.run.target === null
        ? accept({ _tag: "RunReady", directory: null })
        : refuse(`the run publishes to ${state.run.target}`)
    case "RecordValidation":
      if (state.phase !== "validating") return refuse("nothing was published")
      return command.verdict === "passed"
        ? accept(
            { _tag: "ValidationPassed", detail: command.detail, workingSetPages: command.workingSetPages },
            { _tag: "RunReady", directory: state.published.directory }
          )
        : accept(
            { _tag: "ValidationFailed", detail: command.detail },
            { _tag: "RunFailed", stage: "validate", error: { tag: "ValidationFailed", message: command.detail } }
          )
    case "Abandon":
      return accept({ _tag: "RunAbandoned", why: command.why })
    case "Fail":
      return accept({ _tag: "RunFailed", stage: command.stage, error: command.error })
    case "StartStage":
      return accept({ _tag: "StageStarted", stage: command.stage, attempt: command.attempt })
    case "FinishStage":
      return accept({ _tag: "StageFinished", stage: command.stage, hostNanos: command.hostNanos })
    case "RetryStage":
      return accept({ _tag: "StageRetried", stage: command.stage, attempt: command.attempt, error: command.error })
    case "Recover":
      return accept(...recovered(state, command.findings))
  }
}
