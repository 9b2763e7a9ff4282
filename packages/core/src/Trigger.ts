/**
 * The port through which a policy says when to capture.
 *
 * @module
 */
import { type Effect, Schema, type Stream } from "effect"
import { missingCalm } from "./explaining/calmInWords.ts"
import { progressInWords } from "./explaining/progressInWords.ts"
import { oneLine } from "./explaining/quoting.ts"
import { type Firing, QuiesceReport, TriggerProgress } from "./Firing.ts"
import { type GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { GuestTimeline } from "./GuestTimeline.ts"
import { guestTimeInWords } from "./guestTimeInWords.ts"
import type { MachineError } from "./MachineErrors.ts"

/** Why a policy ended without a firing. */
export const TriggerReason = Schema.TaggedUnion({
  /** No part of the policy can fire any more, whatever the guest does. */
  NothingArmed: { policy: Schema.String, atNanos: GuestNanos, progress: Schema.Array(TriggerProgress) },
  /** The guest halted, was reset, panicked, or became idle with nothing left to wake it, or its recording ended. */
  GuestEnded: {
    policy: Schema.String,
    how: Schema.Literals(["halted", "reset", "idle", "horizon", "timeline-ended"]),
    atNanos: GuestNanos,
    progress: Schema.Array(TriggerProgress)
  },
  /** The engine reported a bug of its own. */
  EngineFaulted: {
    policy: Schema.String,
    message: Schema.String,
    atNanos: GuestNanos,
    progress: Schema.Array(TriggerProgress)
  },
  /** There was no calm before the deadline, and the policy treats that as a failure. */
  QuiesceFailed: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, quiesce: QuiesceReport },
  /** There was no calm before the deadline, so the policy abandoned the trigger, and nothing else in it can fire. */
  Abandoned: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, quiesce: QuiesceReport },
  /** The guest is held before its workload for less time than the requested calm, so the workload would begin before it. */
  HoldTooShort: {
    policy: Schema.String,
    trigger: Schema.String,
    atNanos: GuestNanos,
    holdNanos: GuestNanos,
    calmForNanos: GuestNanos
  },
  /** A probe failed, and the policy treats that as a failure. */
  ProbeFailed: { policy: Schema.String, probe: Schema.String, atNanos: GuestNanos, message: Schema.String },
  /** A trigger's own code threw, returned an invalid answer, or requested too many wakes. */
  TriggerDefect: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, message: Schema.String }
})
export type TriggerReason = typeof TriggerReason.Type

const reasonMessage = (reason: TriggerReason): string => {
  const at = `${guestTimeInWords(reason.atNanos)} of guest time`
  switch (reason._tag) {
    case "NothingArmed":
      return `policy ${reason.policy} can never fire: at ${at} none of its triggers was armed; add a trigger that can still fire`
    case "GuestEnded":
      return (
        `policy ${reason.policy} did not fire before the guest ended (${reason.how}) at ${at}` +
        reason.progress
          .filter((p) => p.status !== "unarmed")
          .map((p) => `; ${progressInWords(p)}`)
          .join("")
      )
    case "EngineFaulted":
      return `the engine faulted at ${at} before policy ${reason.policy} fired: ${reason.message}`
    case "QuiesceFailed":
      return (
        `${reason.trigger} fired, but when the deadline of policy ${reason.policy} came at ${at}, ${missingCalm(reason.quiesce)}; ` +
        `give it a longer deadline, or choose with onDeadline what happens then`
      )
    case "Abandoned":
      return `${reason.trigger} fired, but policy ${reason.policy} abandoned it at ${at}: ${missingCalm(reason.quiesce)}`
    case "HoldTooShort":
      return (
        `policy ${reason.policy} needs a calm of ${guestTimeInWords(reason.calmForNanos)} after ${reason.trigger}, but at ${at} ` +
        `the guest is held for ${guestTimeInWords(reason.holdNanos)}: ask for a shorter calm, or let the agent hold it for longer or until the host releases it`
      )
    case "ProbeFailed":
      return `probe ${reason.probe} of policy ${reason.policy} failed at ${at}: ${reason.message}`
    case "TriggerDefect":
      return `trigger ${reason.trigger} of policy ${reason.policy} has a defect, found at ${at}: ${reason.message}`
  }
}

/** A policy ended without a firing. */
export class TriggerError extends Schema.TaggedError<TriggerError>()("TriggerError", { reason: TriggerReason }) {
  override get message(): string {
    return oneLine(reasonMessage(this.reason))
  }
}

/**
 * Decides from the timeline alone when to capture. This is everything that a pipeline needs from a policy.
 *
 * Anything that is not in the timeline, such as the completion of a probe, is recorded as a signal before the policy acts on it, so
 * a decision can be replayed from the timeline and the signals.
 */
export interface Trigger {
  /** Readable name, such as `onPreExec` or `atHeartbeat(3)`. */
  readonly name: string
  /** Kinds of events that the policy must receive. Events of other kinds make no difference. */
  readonly interest: ReadonlyArray<GuestEventKind>
  /** The policy as JSON, recorded in journals and manifests. Parts without a JSON form appear by name. */
  readonly description: Schema.Json
  /** The first firing on the provided timeline. Interruption pauses the guest and stops every probe. */
  readonly await: Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline>
  /**
   * Every firing of a repeating policy, in order; the guest continues when the next one is pulled. Ends when a policy that has fired
   * can fire no more; fails if it never fired or the guest ended.
   */
  readonly firings: Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline>
}
