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
  /** The machine to capture: the original, or a fork of it that was frozen instead. */
  readonly subject: Machine
  /** Events of the guest before the subject's own. */
  readonly earlier: ReadonlyArray<GuestEvent>
  readonly isWorkloadFrozen: boolean
  readonly hasAgent: boolean
  /** Runs once the state is taken: if the guest continues and its policy had frozen the workload, thaws it. */
  readonly giveBack: Effect.Effect<void>
}

/** Options of freezing the workload for a capture. */
export interface FreezeOptions {
  /** `whenStarted` (default): only if it may have begun to run. */
  readonly when?: "whenStarted" | "always" | "never"
  /** Guest time within which the agent must have frozen it; 5 s if absent. */
  readonly deadline?: Duration.Input
}

type PreExec = GuestEventOf<"WorkloadPreExec">

/** Whether an announced workload may have executed an instruction by `nowNanos`, according to the events. */
const hasBegun = (preExec: PreExec, events: ReadonlyArray<GuestEvent>, nowNanos: number): boolean => {
  if (preExec.holdNanos !== null && nowNanos - preExec.atNanos >= preExec.holdNanos) return true
  return events.some((event) => event.seq > preExec.seq && event._tag === "HostInput" && recordedFrame(event) === "Go")
}

/**
 * Whether the workload may have executed an instruction by `nowNanos`: it was announced and its hold is over, or it acted. An
 * executed command counts too, since every clone would share the guest's random state with it.
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
 * The announcement that a decision before the workload relies on: its cause or, if the cause is another event (a line of the
 * console, or a mapped cause), the agent's last announcement. `null` for other decisions, and for an agent without announcements.
 */
const announcementOf = ({ cause, path }: Firing, events: ReadonlyArray<GuestEvent>): PreExec | null => {
  if (cause._tag === "Event" && cause.event._tag === "WorkloadPreExec") return cause.event
  if (path.at(-1) !== preExecTrigger) return null
  return events.findLast((event): event is PreExec => event._tag === "WorkloadPreExec") ?? null
}

/** Refuses a decision before the workload if the guest is no longer there. */
const refuseMissedPreExec = (firing: Firing, events: ReadonlyArray<GuestEvent>, nowNanos: number) => {
  const announcement = announcementOf(firing, events)
  if (announcement === null) return Effect.void
  const { atNanos, holdNanos } = announcement
  return hasBegun(announcement, events, nowNanos)
    ? Effect.fail(new PreExecMissed({ preExecAtNanos: atNanos, holdNanos, atNanos: nowNanos }))
    : Effect.void
}

/** The stage's error for a failed freeze. */
const freezeFailed = ({ message, reason }: AgentError) =>
  new FreezeFailed({
    why: reason._tag === "Refused" ? "refused" : reason._tag === "GuestEnded" ? "guest-ended" : "no-answer",
    detail: message
  })

/** Freezes the workload if it has begun: in the machine, or in a fork if the machine continues. */
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
