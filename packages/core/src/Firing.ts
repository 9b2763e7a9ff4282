/**
 * The record of one decision to capture: the trigger, its cause, the calm before the capture, and the other triggers.
 *
 * @module
 */
import { Option, Schema } from "effect"
import { upcastFiring } from "./contract/upcasts.ts"
import { GuestEvent, GuestNanos } from "./GuestEvent.ts"

/**
 * Something that reached a policy from outside the timeline: the completion of an effectful probe.
 *
 * It is recorded where the policy took it in, so that a replay takes it in at the same place.
 */
export const TriggerSignal = Schema.Struct({
  /** Path of the probe in its policy, joined with `/`: names the same probe in every replay of the same policy. */
  probe: Schema.String,
  /** The arming of the probe that completed: 1, 2, 3 … */
  arming: Schema.Natural,
  /** Guest time at which the policy took the signal in. */
  atNanos: GuestNanos,
  /** `seq` of the last event that the policy had seen before it; -1 for none. */
  afterSeq: Schema.Int,
  outcome: Schema.Literals(["succeeded", "failed"]),
  /** The probe's result, or the message of its failure, as JSON; `null` if it has no JSON form. */
  payload: Schema.Json
})
export type TriggerSignal = typeof TriggerSignal.Type

/** The cause of a firing: an event, a deadline on the guest's clock, or the completion of a probe. */
export const FiringCause = Schema.TaggedUnion({
  Event: { event: GuestEvent },
  Timer: {
    /** Guest time that was reached. */
    atNanos: GuestNanos,
    /** Guest time at which the timer was set. */
    setAtNanos: GuestNanos
  },
  Signal: { signal: TriggerSignal }
})
export type FiringCause = typeof FiringCause.Type

/**
 * How a wait for calm ended.
 *
 * `settled`: the guest was calm for as long as asked. `deadline`: it was not, and the policy says capture all the same.
 * `abandoned`: it was not, and the policy says not to capture.
 */
export const QuiesceVerdict = Schema.Literals(["settled", "deadline", "abandoned"])
export type QuiesceVerdict = typeof QuiesceVerdict.Type

/** The result of a wait for calm. All times are guest time in nanoseconds. */
export const QuiesceReport = Schema.Struct({
  verdict: QuiesceVerdict,
  /** Guest time of the firing that the wait began with. */
  triggeredAtNanos: GuestNanos,
  /** The calm that the policy requires. */
  calmForNanos: GuestNanos,
  /** Contiguous calm that there was when the wait ended. */
  calmNanos: GuestNanos,
  /** From the firing to the end of the wait. */
  waitedNanos: GuestNanos,
  /** Longest wait that the policy allowed; `null` for none. */
  deadlineNanos: Schema.NullOr(GuestNanos),
  onDeadline: Schema.Literals(["capture", "abandon", "fail"]),
  /** Number of times that activity restarted the count. */
  restarts: Schema.Natural,
  /** The activity that last did so: its kind, and when it ended. */
  lastActivity: Schema.NullOr(Schema.Struct({ kind: Schema.String, atNanos: GuestNanos })),
  /**
   * `not-asked`: the policy does not need the agent. `frozen`: the agent froze the workload. `refused`, `no-answer`: it did not.
   * `given-back`: the policy withdrew its request before the decision fell, so the workload continued.
   */
  agent: Schema.Literals(["not-asked", "frozen", "refused", "no-answer", "given-back"])
})
export type QuiesceReport = typeof QuiesceReport.Type

/** The progress of a trigger when a decision fell or a guest ended. */
export const TriggerProgress = Schema.Struct({
  /** Name of the trigger. */
  trigger: Schema.String,
  /** Names from the root of the policy to it. */
  path: Schema.Array(Schema.String),
  /**
   * `waiting`: armed. `quiescing`: fired, and waiting for calm. `overtaken`: quiescing, until a higher one fired. `fired`: fired
   * as a part of a combination that had not. `expired`: its time had run out. `failed`: its probe failed. `abandoned`: no calm
   * before the deadline. `unarmed`: its turn had not come.
   */
  status: Schema.Literals(["waiting", "quiescing", "overtaken", "fired", "expired", "failed", "abandoned", "unarmed"]),
  /** The awaited condition, in words. */
  waitedFor: Schema.String,
  /** Its progress, as a clause ("3 lines had not matched"); empty if it has no intermediate states, or was complete. */
  progress: Schema.String
})
export type TriggerProgress = typeof TriggerProgress.Type

/** One decision to capture. */
export class Firing extends Schema.Class<Firing>("@stillpoint/core/Firing")({
  /** Name of the whole policy. */
  policy: Schema.String,
  /** Name of the trigger that decided. */
  trigger: Schema.String,
  /** Names from the root of the policy to that trigger. */
  path: Schema.Array(Schema.String),
  /** Number of earlier firings of the policy; above 0 only for a policy that repeats. */
  index: Schema.Natural,
  /** Guest time from which the trigger watched. */
  armedAtNanos: GuestNanos,
  /** Guest time of the decision. */
  atNanos: GuestNanos,
  /** `seq` of the last event that was seen when the decision fell; -1 for none. */
  afterSeq: Schema.Int,
  cause: FiringCause,
  /** The condition that the trigger waited for, in words. */
  waitedFor: Schema.String,
  /** The other triggers of the policy, and how far each had got. */
  losers: Schema.Array(TriggerProgress),
  /** The wait for calm; `null` if the policy asks for none. */
  quiesce: Schema.NullOr(QuiesceReport),
  /**
   * Guest time between the decision and the guest standing still: 0 in lockstep, measured when free-running,
   * `null` when the decision comes from a replay.
   */
  slippageNanos: Schema.NullOr(GuestNanos)
}) {}

/** The JSON form of a firing, as manifests and journals hold it. */
export const FiringJson = Schema.toCodecJson(Firing)

const decodeFiring = Schema.decodeUnknownOption(FiringJson)

/**
 * The decision that a manifest's provenance holds, in its present form; `null` where it holds none.
 *
 * @example
 * ```ts
 * import { firingOf } from "@stillpoint/core"
 *
 * console.log(firingOf({ taken: "by hand" })) // null
 * ```
 */
export const firingOf = (provenance: unknown): Firing | null => Option.getOrNull(decodeFiring(upcastFiring(provenance)))
