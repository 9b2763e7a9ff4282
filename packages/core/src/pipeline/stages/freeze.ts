/**
 * The stage that makes sure that no clone can run its workload before it has its own identity.
 *
 * @module
 */
import { type Duration, Effect } from "effect"
import type { AgentError } from "../../AgentErrors.ts"
import { recordedFrame } from "../../contract/recordedFrame.ts"
import type { Firing } from "../../Firing.ts"
import type { GuestEvent, GuestEventOf } from "../../GuestEvent.ts"
import { RunContext } from "../../run/RunContext.ts"
import type { Machine } from "../../Vmm.ts"
import { FreezeFailed, PreExecMissed } from "../PipelineErrors.ts"
import { durationProblems } from "../../optionProblems.ts"
import * as Stage from "../Stage.ts"
import type { Fired } from "./awaitPolicy.ts"

/** A machine that stands still, ready to be captured. */
export interface Frozen extends Fired {
  /** What is captured: the machine, or a fork of it that was frozen instead. */
  readonly subject: Machine
  /** Events of the guest before the subject's own. */
  readonly earlier: ReadonlyArray<GuestEvent>
  readonly isWorkloadFrozen: boolean
  readonly hasAgent: boolean
  /** Done once the state is taken: a guest that goes on has its workload thawed that its policy froze. */
  readonly giveBack: Effect.Effect<void>
}

/** How the workload is frozen for a capture. */
export interface FreezeOptions {
  /** `whenStarted` (default): only if it may have begun to run. */
  readonly when?: "whenStarted" | "always" | "never"
  /** Guest time within which the agent must have frozen it; 5 s if absent. */
  readonly deadline?: Duration.Input
}

type PreExec = GuestEventOf<"WorkloadPreExec">

/** Whether a workload that was announced may have executed an instruction by `nowNanos`, for all that the events say. */
const hasBegun = (preExec: PreExec, events: ReadonlyArray<GuestEvent>, nowNanos: number): boolean => {
  if (preExec.holdNanos !== null && nowNanos - preExec.atNanos >= preExec.holdNanos) return true
  return events.some((event) => event.seq > preExec.seq && event._tag === "HostInput" && recordedFrame(event) === "Go")
}

/**
 * Whether the workload may have executed an instruction by `nowNanos`: it was announced and its hold is over, or it did something.
 * A command that was executed counts, too: it shares the guest's random state with every clone.
 */
export const mayHaveStarted = (events: ReadonlyArray<GuestEvent>, nowNanos: number): boolean => {
  for (const event of events) {
    switch (event._tag) {
      case "ListenerBound":
      case "UnixListenerBound":
      case "WorkloadParked":
      case "WorkloadExited":
      case "ExecStarted":
        return true
      case "WorkloadPreExec":
        if (hasBegun(event, events, nowNanos)) return true
        break
      default:
    }
  }
  return false
}

/** Name of the trigger that decides before the workload. */
const preExecTrigger = "onPreExec"

/**
 * The announcement that a decision before the workload relies on: its cause, or, where that is another (a line of the console, or
 * what a policy made of it), the last that the agent made. `null` for other decisions, and where there is no agent that knows.
 */
const announcementOf = ({ cause, path }: Firing, events: ReadonlyArray<GuestEvent>): PreExec | null => {
  if (cause._tag === "Event" && cause.event._tag === "WorkloadPreExec") return cause.event
  if (path.at(-1) !== preExecTrigger) return null
  return events.findLast((event): event is PreExec => event._tag === "WorkloadPreExec") ?? null
}

/** A decision before the workload is one about a guest that still stands there. */
const refuseMissedPreExec = (firing: Firing, events: ReadonlyArray<GuestEvent>, nowNanos: number) => {
  const announcement = announcementOf(firing, events)
  if (announcement === null) return Effect.void
  const { atNanos, holdNanos } = announcement
  return hasBegun(announcement, events, nowNanos)
    ? Effect.fail(new PreExecMissed({ preExecAtNanos: atNanos, holdNanos, atNanos: nowNanos }))
    : Effect.void
}

/** Why the agent's freeze failed, in the stage's words. */
const freezeFailed = ({ message, reason }: AgentError) =>
  new FreezeFailed({
    why: reason._tag === "Refused" ? "refused" : reason._tag === "GuestEnded" ? "guest-ended" : "no-answer",
    detail: message
  })

/** Freezes the workload if it has begun: in the machine, or in a fork where the machine goes on. */
export const freeze = (options: FreezeOptions = {}) =>
  Stage.make(
    "freeze",
    (fired: Fired) =>
      Effect.gen(function* () {
        const { firing, machine } = fired
        const run = yield* RunContext
        const events = yield* machine.eventsSoFar()
        const now = yield* machine.nowNanos
        const hasAgent = fired.hadAgent || events.some((event) => event._tag === "AgentReady")
        const isFrozenByPolicy = fired.isFrozen
        yield* refuseMissedPreExec(firing, events, now)
        const mode = options.when ?? "whenStarted"
        const mustFreeze =
          !isFrozenByPolicy && hasAgent && mode !== "never" && (mode === "always" || mayHaveStarted(events, now))
        const forked = mustFreeze && fired.goesOn ? yield* machine.fork : null
        const subject = forked ?? machine
        if (mustFreeze) {
          yield* Effect.catchTag(
            subject.agent.freeze({ within: options.deadline ?? "5 seconds" }),
            "AgentError",
            (error) => Effect.fail(freezeFailed(error))
          )
        }
        const isWorkloadFrozen = isFrozenByPolicy || mustFreeze
        yield* run.tell({
          _tag: "RecordFreeze",
          atNanos: yield* subject.nowNanos,
          isWorkloadFrozen,
          verdict:
            firing.quiesce === null
              ? mustFreeze
                ? "settled"
                : "not-asked"
              : firing.quiesce.verdict === "deadline"
                ? "deadline"
                : "settled"
        })
        return {
          ...fired,
          subject,
          earlier: forked === null ? [] : events,
          isWorkloadFrozen,
          hasAgent,
          giveBack: isFrozenByPolicy && fired.goesOn ? Effect.ignore(fired.timeline.requestThaw) : Effect.void
        } satisfies Frozen
      }),
    { check: Effect.succeed(durationProblems("freeze.deadline", options.deadline)) }
  )
