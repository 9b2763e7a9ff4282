/**
 * What a policy decides on a timeline that has already happened: pure and synchronous.
 *
 * @module
 */
import type {
  Firing,
  GuestEvent,
  GuestNanos,
  TimelineEnd,
  TriggerError,
  TriggerReason,
  TriggerSignal
} from "@stillpoint/core"
import { TriggerError as TriggerFailure } from "@stillpoint/core"
import { Result } from "effect"
import type { MachineSource, PolicyMachine } from "../machine/PolicyMachine.ts"

/** A timeline to decide on. A recorded timeline is one. */
export interface ReplayedTimeline {
  readonly events: ReadonlyArray<GuestEvent>
  /** How it ended. If it is absent or `null`, nothing is known of what comes after the last event. */
  readonly end?: Pick<TimelineEnd, "atNanos" | "reason"> | null
  /** Completions of probes, in the order in which the policy took them in. */
  readonly signals?: ReadonlyArray<TriggerSignal>
}

/** How to replay. */
export interface ReplayOptions {
  /** Guest time at which the policy is armed; 0, the first instruction, if absent. */
  readonly originNanos?: GuestNanos
}

/**
 * The first firing of a policy on a timeline, or why there is none. Allocates nothing for an event that decides nothing.
 *
 * @example
 * ```ts
 * import { onListener, Trigger, within } from "@stillpoint/triggers"
 * import { timelineOf } from "@stillpoint/triggers/testing"
 * import { Result } from "effect"
 *
 * const listener = { _tag: "ListenerBound", protocol: "tcp", address: "::", port: 80 } as const
 * const decision = Trigger.replay(within(onListener(), "1 second"), timelineOf([[2e9, listener]]))
 * console.log(Result.isFailure(decision) ? decision.failure.reason._tag : "") // NothingArmed
 * ```
 */
export const replay = (
  policy: MachineSource,
  timeline: ReplayedTimeline,
  options: ReplayOptions = {}
): Result.Result<Firing, TriggerError> => {
  const { failure, firings } = decide(policy, timeline, options, 1)
  const first = firings[0]
  return first === undefined ? Result.fail(failure) : Result.succeed(first)
}

/**
 * Every firing of a policy that repeats, and why there is no further one; `limit` of them at most, 10,000 if absent.
 *
 * @example
 * ```ts
 * import { onEvent, repeat, Trigger } from "@stillpoint/triggers"
 * import { timelineOf } from "@stillpoint/triggers/testing"
 *
 * const beats = timelineOf([1, 2, 3].map((count) => [count * 1e8, { _tag: "HeartbeatTick", count }]))
 * const { firings } = Trigger.replayAll(repeat(onEvent("HeartbeatTick"), { times: 2 }), beats)
 * console.log(firings.map(({ atNanos }) => atNanos).join(", ")) // 100000000, 200000000
 * ```
 */
export const replayAll = (
  policy: MachineSource,
  timeline: ReplayedTimeline,
  options: ReplayOptions & { readonly limit?: number } = {}
): { readonly firings: ReadonlyArray<Firing>; readonly end: TriggerError | null } => {
  const { failure, firings, isLimited } = decide(policy, timeline, options, options.limit ?? 10_000)
  return { firings, end: isLimited ? null : failure }
}

const decide = (policy: MachineSource, timeline: ReplayedTimeline, options: ReplayOptions, limit: number) =>
  policy.borrow((machine) => decideOn(machine, timeline, options, limit))

const decideOn = (machine: PolicyMachine, timeline: ReplayedTimeline, options: ReplayOptions, limit: number) => {
  machine.start(options.originNanos ?? 0)
  const firings: Array<Firing> = []
  const isOver = (): boolean => {
    if (machine.firing !== null) {
      firings.push(machine.firing)
      machine.clearOutcome()
    }
    return machine.hasEnded || firings.length >= limit || machine.isExhausted
  }
  const failure = (): TriggerError => machine.failure ?? new TriggerFailure({ reason: spentReason(machine, timeline) })
  if (isOver() || runEvents(machine, timeline, isOver) || runToEnd(machine, timeline, isOver)) {
    return { firings, failure: failure(), isLimited: firings.length >= limit }
  }
  return { firings, failure: new TriggerFailure({ reason: endReason(machine, timeline) }), isLimited: false }
}

/** Runs events and signals; answers whether the policy is over. */
const runEvents = (machine: PolicyMachine, timeline: ReplayedTimeline, isOver: () => boolean): boolean => {
  const { events, signals = [] } = timeline
  let index = 0
  const runUpTo = (end: number): boolean => {
    while (index < end) {
      index = machine.run(events, index, end)
      if (isOver()) return true
    }
    return false
  }
  for (const signal of signals) {
    let before = index
    while (before < events.length && (events[before] as GuestEvent).seq <= signal.afterSeq) before += 1
    if (runUpTo(before)) return true
    while (!machine.signal(signal)) if (isOver()) return true
    if (isOver()) return true
  }
  return runUpTo(events.length)
}

/** Lets the time between the last event and the end pass; answers whether the policy is over. */
const runToEnd = (machine: PolicyMachine, timeline: ReplayedTimeline, isOver: () => boolean): boolean => {
  const { end } = timeline
  if (end === undefined || end === null) return false
  // A guest that rests for ever lets any time pass.
  const until = end.reason === "idle" ? Infinity : end.atNanos
  for (;;) {
    const wake = machine.wakeAtNanos
    if (wake === null || wake > until) break
    machine.time(wake)
    if (isOver()) return true
  }
  machine.time(end.atNanos)
  return isOver()
}

/** Why a policy is over that has not failed. */
const spentReason = (machine: PolicyMachine, timeline: ReplayedTimeline): TriggerReason =>
  machine.firedCount > 0
    ? { _tag: "NothingArmed", policy: machine.policyName, atNanos: machine.now, progress: machine.progress() }
    : endReason(machine, timeline)

/** Why a policy has not decided when its timeline is over. */
const endReason = (machine: PolicyMachine, timeline: ReplayedTimeline): TriggerReason => {
  const exhausted = exhaustedReason(machine)
  if (exhausted !== null) return exhausted
  const last = timeline.events.at(-1)
  const progress = machine.progress()
  if (last?._tag === "EngineFault") {
    return { _tag: "EngineFaulted", policy: machine.policyName, message: last.message, atNanos: machine.now, progress }
  }
  return { _tag: "GuestEnded", policy: machine.policyName, how: howEnded(timeline), atNanos: machine.now, progress }
}

const howEnded = (timeline: ReplayedTimeline) => {
  const last = timeline.events.at(-1)?._tag
  const reason = timeline.end?.reason
  if (reason === "halted" || last === "GuestHalted") return "halted"
  if (reason === "reset" || last === "GuestReset") return "reset"
  return reason === "idle" || reason === "horizon" ? reason : "timeline-ended"
}

/** Why a policy can fire no more, whatever happens; `null` if it can. */
export const exhaustedReason = (machine: PolicyMachine): TriggerReason | null => {
  if (!machine.isExhausted) return null
  const { abandoned, now, policyName } = machine
  if (abandoned !== null) {
    return {
      _tag: "Abandoned",
      policy: policyName,
      trigger: abandoned.trigger,
      atNanos: now,
      quiesce: abandoned.quiesce
    }
  }
  return { _tag: "NothingArmed", policy: policyName, atNanos: now, progress: machine.progress() }
}
