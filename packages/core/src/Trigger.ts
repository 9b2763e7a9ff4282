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
  /** The guest halted, was reset or panicked for good, came to rest for ever, or its recording is over. */
  GuestEnded: {
    policy: Schema.String,
    how: Schema.Literals(["halted", "reset", "idle", "horizon", "timeline-ended"]),
    atNanos: GuestNanos,
    progress: Schema.Array(TriggerProgress)
  },
  /** The engine has a bug, and said so. */
  EngineFaulted: {
    policy: Schema.String,
    message: Schema.String,
    atNanos: GuestNanos,
    progress: Schema.Array(TriggerProgress)
  },
  /** No calm before the deadline, and the policy says that this is a failure. */
  QuiesceFailed: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, quiesce: QuiesceReport },
  /** No calm before the deadline, the policy says to let it be, and nothing else in it can fire. */
  Abandoned: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, quiesce: QuiesceReport },
  /** The guest is held before its workload for less time than the calm that is asked for takes: it would have begun. */
  HoldTooShort: {
    policy: Schema.String,
    trigger: Schema.String,
    atNanos: GuestNanos,
    holdNanos: GuestNanos,
    calmForNanos: GuestNanos
  },
  /** A probe failed, and the policy says that this is a failure. */
  ProbeFailed: { policy: Schema.String, probe: Schema.String, atNanos: GuestNanos, message: Schema.String },
  /** A trigger's own code threw, answered what is none, or had itself woken too often. */
  TriggerDefect: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, message: Schema.String }
})
export type TriggerReason = typeof TriggerReason.Type

const reasonMessage = (reason: TriggerReason): string => {
  const at = `${guestTimeInWords(reason.atNanos)} of guest time`
  switch (reason._tag) {
    case "NothingArmed":
      return `policy ${reason.policy} can never fire: at ${at} none of its triggers was armed; give it one that is`
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
        `give it a longer deadline, or say with onDeadline what to do`
      )
    case "Abandoned":
      return `${reason.trigger} fired, but policy ${reason.policy} abandoned it at ${at}: ${missingCalm(reason.quiesce)}`
    case "HoldTooShort":
      return (
        `policy ${reason.policy} asks for a calm of ${guestTimeInWords(reason.calmForNanos)} after ${reason.trigger}, found at ${at} ` +
        `a guest that is held for ${guestTimeInWords(reason.holdNanos)}: ask for less, or make the agent hold for longer or until the host says go`
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
 * Decides, from the timeline alone, when to capture: what a pipeline needs of a policy, however it is made.
 *
 * Whatever is not in the timeline, as the completion of a probe, is recorded as a signal before it is acted on: with these and
 * the timeline, the same decisions can be taken again.
 */
export interface Trigger {
  /** Name in words, e.g. `onPreExec` or `atHeartbeat(3)`. */
  readonly name: string
  /** Kinds of events that it must be told. Others may be left out, or told: they make no difference. */
  readonly interest: ReadonlyArray<GuestEventKind>
  /** The policy as JSON, by which a journal or manifest says which one ran; parts without a JSON form are named in it. */
  readonly description: Schema.Json
  /** The first firing on the provided timeline. Interruption pauses the guest and stops every probe. */
  readonly await: Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline>
  /**
   * Every firing of a policy that repeats, in order; the guest goes on when the next is pulled. Ends where a policy that has
   * fired before can fire no more; fails where it never did, or the guest ended.
   */
  readonly firings: Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline>
}
