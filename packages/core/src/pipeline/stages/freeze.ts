/**
 * The stage that makes sure that no clone can run its workload before it has its own identity.
 *
 * @module
 */
import { Duration, Effect } from "effect"
import type { GuestEvent } from "../../GuestEvent.ts"
import { RunContext } from "../../run/RunContext.ts"
import type { Machine } from "../../Vmm.ts"
import { FreezeFailed } from "../PipelineErrors.ts"
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
}

/** How the workload is frozen for a capture. */
export interface FreezeOptions {
  /** `whenStarted` (default): only if it may have begun to run. */
  readonly when?: "whenStarted" | "always" | "never"
  /** How long the agent holds a workload between its announcement and its start; 100 ms if absent. */
  readonly hold?: Duration.Input
  /** Guest time within which the agent must have frozen it; 5 s if absent. */
  readonly deadline?: Duration.Input
}

/** Whether the workload may have executed an instruction by `nowNanos`, given how long it is held after its announcement. */
export const mayHaveStarted = (events: ReadonlyArray<GuestEvent>, nowNanos: number, holdNanos: number): boolean => {
  for (const event of events) {
    if (event._tag === "WorkloadPreExec" && nowNanos - event.atNanos >= holdNanos) return true
    if (event._tag === "ListenerBound" || event._tag === "WorkloadParked" || event._tag === "WorkloadExited")
      return true
    // A command that was executed shares the guest's random state with every clone: treated as a workload.
    if (event._tag === "ExecStarted") return true
  }
  return false
}

const freezeWorkload = Effect.fnUntraced(function* (machine: Machine, deadlineNanos: number) {
  const token = yield* machine.requestQuiesce
  const atNanos = (yield* machine.nowNanos) + deadlineNanos
  while (true) {
    const stop = yield* machine.run({ kinds: ["AgentQuiesced", "AgentRejected"], atNanos })
    const event =
      stop.seq === null ? undefined : (yield* machine.eventsSoFar(stop.seq)).find(({ seq }) => seq === stop.seq)
    if (event?._tag === "AgentQuiesced" && event.token === token) return
    if (event?._tag === "AgentRejected" && event.request === "Quiesce" && event.id === token)
      return yield* new FreezeFailed({ why: "refused", detail: event.message })
    if (stop.reason === "time" || stop.reason === "idle" || stop.reason === "horizon") {
      return yield* new FreezeFailed({
        why: "no-answer",
        detail: `nothing came within ${deadlineNanos / 1e6} ms of guest time`
      })
    }
    if (stop.reason !== "event" && stop.reason !== "paused") {
      return yield* new FreezeFailed({ why: "guest-ended", detail: stop.reason })
    }
  }
})

const nanosOf = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input)) * 1e6

/** Freezes the workload if it has begun: in the machine, or in a fork where the machine goes on. */
export const freeze = (options: FreezeOptions = {}) =>
  Stage.make("freeze", (fired: Fired) =>
    Effect.gen(function* () {
      const { firing, machine } = fired
      const run = yield* RunContext
      const events = yield* machine.eventsSoFar()
      const now = yield* machine.nowNanos
      const hasAgent = events.some((event) => event._tag === "AgentReady")
      const isFrozenByPolicy = firing.quiesce?.agent === "frozen"
      const mode = options.when ?? "whenStarted"
      const mustFreeze =
        !isFrozenByPolicy &&
        hasAgent &&
        mode !== "never" &&
        (mode === "always" || mayHaveStarted(events, now, nanosOf(options.hold ?? "100 millis")))
      const forked = mustFreeze && fired.goesOn ? yield* machine.fork : null
      const subject = forked ?? machine
      if (mustFreeze) yield* freezeWorkload(subject, nanosOf(options.deadline ?? "5 seconds"))
      const isWorkloadFrozen = isFrozenByPolicy || mustFreeze
      yield* run.tell({
        _tag: "RecordQuiesce",
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
        hasAgent
      } satisfies Frozen
    })
  )
