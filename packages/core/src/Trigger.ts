/**
 * The port through which a policy says when to capture.
 *
 * A trigger is a pure state machine over three kinds of input: guest events, guest time that has been reached, and
 * signals. Inputs are totally ordered: by guest time; at one nanosecond timers come before events and signals; events
 * and signals in the order in which the machine made them and the policy took them in. All timers that are due at one
 * nanosecond are one input.
 *
 * @module
 */
import { type Effect, Schema, type Stream } from "effect"
import { type Firing, QuiesceReport, TriggerProgress, type TriggerSignal } from "./Firing.ts"
import { type GuestEvent, type GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { GuestTimeline } from "./GuestTimeline.ts"
import { guestTimeInWords } from "./guestTimeInWords.ts"
import type { MachineError } from "./MachineErrors.ts"

/** What a trigger can be told. */
export type TriggerInput =
  | { readonly _tag: "Event"; readonly event: GuestEvent }
  /** Guest time has reached `atNanos`; everything earlier has been told. */
  | { readonly _tag: "Time"; readonly atNanos: GuestNanos }
  | { readonly _tag: "Signal"; readonly signal: TriggerSignal }

/** What a trigger asks of whoever runs it. A replay ignores these: their effects are in the timeline and the signals. */
export type TriggerCommand =
  /** Start a probe; its completion comes back as a signal of the same `probe` and `arming`. */
  | {
      readonly _tag: "StartProbe"
      readonly probe: string
      readonly arming: number
      readonly run: Effect.Effect<unknown, unknown>
    }
  /** The outcome of a probe is no longer wanted: interrupt it. */
  | { readonly _tag: "StopProbe"; readonly probe: string; readonly arming: number }
  /** Ask the agent to freeze the workload; the answer is an `AgentQuiesced` event. */
  | { readonly _tag: "RequestQuiesce" }
  /** The workload was frozen, or asked to be, for a capture that will not happen. */
  | { readonly _tag: "RequestThaw" }

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
  /** A probe failed, and the policy says that this is a failure. */
  ProbeFailed: { policy: Schema.String, probe: Schema.String, atNanos: GuestNanos, message: Schema.String },
  /** A trigger's own code threw. */
  TriggerDefect: { policy: Schema.String, trigger: Schema.String, atNanos: GuestNanos, message: Schema.String }
})
export type TriggerReason = typeof TriggerReason.Type

/** What a deadline found missing: the agent's answer, or calm. */
const missingCalm = ({ agent, calmForNanos, calmNanos, lastActivity }: QuiesceReport): string => {
  if (agent === "no-answer") return "the agent had not answered that the workload is frozen"
  if (agent === "refused") return "the agent had refused to freeze the workload"
  const last =
    lastActivity === null ? "" : `, last disturbed by ${lastActivity.kind} at ${guestTimeInWords(lastActivity.atNanos)}`
  return `the guest had been calm for ${guestTimeInWords(calmNanos)} of the ${guestTimeInWords(calmForNanos)} asked for${last}`
}

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
          .map((p) => `; ${p.trigger} ${p.status}${p.progress === "" ? "" : `: ${p.progress}`}`)
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
    case "ProbeFailed":
      return `probe ${reason.probe} of policy ${reason.policy} failed at ${at}: ${reason.message}`
    case "TriggerDefect":
      return `trigger ${reason.trigger} of policy ${reason.policy} threw at ${at}: ${reason.message}`
  }
}

/** A policy ended without a firing. */
export class TriggerError extends Schema.TaggedError<TriggerError>()("TriggerError", { reason: TriggerReason }) {
  override get message(): string {
    return reasonMessage(this.reason)
  }
}

/** What one input did to a trigger. */
export interface TriggerStep<S> {
  readonly state: S
  /** The decisions that this input brought: none or one, as a rule; more if it was told late that time had passed. */
  readonly firings: ReadonlyArray<Firing>
  /** The end of the policy without a decision, if this input brought it. */
  readonly failure: TriggerError | null
  /** What to do, in order. */
  readonly commands: ReadonlyArray<TriggerCommand>
  /** Guest time at which the trigger must be told `Time`; `null` for none. */
  readonly wakeAtNanos: GuestNanos | null
  /** Kinds at which a guest in lockstep must stop. Others are told when the guest stands, in order. */
  readonly stopAt: ReadonlyArray<GuestEventKind>
}

/**
 * Decides, from the timeline alone, when to capture.
 *
 * `S` is private to the trigger. States are immutable values: an old one may be stepped again.
 */
export interface Trigger<S = unknown> {
  /** Name in words, e.g. `onPreExec` or `atHeartbeat(3)`. */
  readonly name: string
  /** Kinds of events that it must be told. Others may be left out, or told: they make no difference. */
  readonly interest: ReadonlyArray<GuestEventKind>
  /** The policy as JSON, by which a journal or manifest says which one ran; parts without a JSON form are named in it. */
  readonly description: Schema.Json
  /** Armed at a guest time, before every event. A policy is armed at 0, the guest's first instruction, if not said otherwise. */
  readonly start: (originNanos: GuestNanos) => TriggerStep<S>
  /** Pure: same state and input, same step. */
  step(state: S, input: TriggerInput): TriggerStep<S>
  /** The first firing on the provided timeline. Interruption pauses the guest and stops every probe. */
  readonly await: Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline>
  /**
   * Every firing of a policy that repeats, in order; the guest goes on when the next is pulled. Ends where a policy that has
   * fired before can fire no more; fails where it never did, or the guest ended.
   */
  readonly firings: Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline>
}
