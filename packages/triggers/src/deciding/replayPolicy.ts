/**
 * Decides on a recorded timeline: pure and synchronous.
 *
 * @module
 */
import type { Firing, GuestNanos, TimelineEnd, TriggerError, TriggerReason } from "@stillpoint/core"
import {
  describeValue,
  GuestActivity,
  GuestEvent,
  TriggerError as TriggerFailure,
  TriggerSignal
} from "@stillpoint/core"
import { Result, Schema } from "effect"
import { requireRecord } from "../argument.ts"
import { PolicyError, refuse } from "../PolicyError.ts"
import { Rest } from "./Rest.ts"
import type { AutomatonSource, Automaton } from "../automaton/Automaton.ts"

/** A timeline to decide on. A recorded timeline is one. */
export interface ReplayedTimeline {
  readonly events: ReadonlyArray<GuestEvent>
  /** Its end. If it is absent or `null`, nothing is known after the last event. */
  readonly end?: Pick<TimelineEnd, "atNanos" | "reason"> | null
  /** The header of a recording: the guest's activity before the first event, if it had executed anything. */
  readonly header?: { readonly beginning?: GuestActivity }
  /** Completions of probes, in the order in which the policy took them in. */
  readonly signals?: ReadonlyArray<TriggerSignal>
}

/** Options of a replay. */
export interface ReplayOptions {
  /**
   * Guest time at which the policy is armed; where the timeline begins, if absent: at 0, the first instruction, unless it says
   * otherwise. Events before it only tell in what condition the policy finds the guest.
   */
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
  policy: AutomatonSource,
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
  policy: AutomatonSource,
  timeline: ReplayedTimeline,
  options: ReplayOptions & { readonly limit?: number } = {}
): { readonly firings: ReadonlyArray<Firing>; readonly end: TriggerError | null } => {
  const { failure, firings, isLimited } = decide(policy, timeline, options, options?.limit ?? 10_000)
  return { firings, end: isLimited ? null : failure }
}

const decide = (policy: AutomatonSource, timeline: ReplayedTimeline, options: ReplayOptions, limit: number) => {
  if (typeof policy?.borrow !== "function") refuse("Trigger.replay", "a trigger", policy)
  if (!Array.isArray(timeline?.events)) refuse("Trigger.replay", "a timeline, { events, end, signals }", timeline)
  const { originNanos = timeline.header?.beginning?.atNanos ?? 0 } = requireRecord("Trigger.replay", options, "options")
  if (!Number.isSafeInteger(originNanos) || originNanos < 0)
    refuse("Trigger.replay.originNanos", "a guest time, whole nanoseconds from 0 on", originNanos)
  try {
    return policy.borrow((automaton) => decideOn(automaton, timeline, originNanos, limit))
  } catch (cause) {
    if (!(cause instanceof PolicyError)) requireTimeline(timeline)
    throw cause
  }
}

const isGuestEvent = Schema.is(GuestEvent)

/** A timeline's form is checked only if it could not be decided on, because most are recordings, and long. */
const requireTimeline = (timeline: ReplayedTimeline): void => {
  const { header, signals = [] } = timeline
  const beginning = header?.beginning
  if (beginning !== undefined && !Schema.is(GuestActivity)(beginning))
    refuse("Trigger.replay.header.beginning", "the guest's activity before it, a GuestActivity", beginning)
  if (!Array.isArray(signals)) refuse("Trigger.replay.signals", "a list of completions of probes", signals)
  for (const [index, signal] of signals.entries())
    if (!Schema.is(TriggerSignal)(signal))
      refuse(`Trigger.replay.signals.${index}`, "the completion of a probe, a TriggerSignal", signal)
  requireEvents(timeline)
}

const requireEvents = ({ events }: ReplayedTimeline): void => {
  const index = events.findIndex((event) => !isGuestEvent(event))
  if (index < 0) return
  const event: Partial<GuestEvent> | null | undefined = events[index]
  const kind = describeValue(event?._tag)
  refuse(`Trigger.replay.events.${index}`, `an event of a guest, with all fields that a ${kind} has`, event)
}

const decideOn = (automaton: Automaton, timeline: ReplayedTimeline, originNanos: GuestNanos, limit: number) => {
  const isLater = timeline.events.findIndex(({ atNanos }) => atNanos >= originNanos)
  const beginning = timeline.header?.beginning
  const isWhole = originNanos === (beginning?.atNanos ?? 0)
  const first = isWhole ? 0 : isLater < 0 ? timeline.events.length : isLater
  automaton.start(originNanos, timeline.events.slice(0, first), beginning)
  const firings: Array<Firing> = []
  const isOver = (): boolean => {
    if (automaton.firing !== null) {
      firings.push(automaton.firing)
      automaton.clearOutcome()
    }
    return automaton.hasEnded || firings.length >= limit || automaton.isExhausted
  }
  const failure = (): TriggerError =>
    automaton.failure ?? new TriggerFailure({ reason: spentReason(automaton, timeline) })
  if (isOver() || runEvents(automaton, timeline, first, isOver) || runToEnd(automaton, timeline, isOver)) {
    return { firings, failure: failure(), isLimited: firings.length >= limit }
  }
  return { firings, failure: new TriggerFailure({ reason: endReason(automaton, timeline) }), isLimited: false }
}

/** Runs events and signals; answers whether the policy is over. */
const runEvents = (automaton: Automaton, timeline: ReplayedTimeline, first: number, isOver: () => boolean): boolean => {
  const { events, signals = [] } = timeline
  let index = first
  const runUpTo = (end: number): boolean => {
    while (index < end) {
      index = automaton.run(events, index, end)
      if (isOver()) return true
    }
    return false
  }
  for (const signal of signals) {
    let before = index
    while (before < events.length && (events[before] as GuestEvent).seq <= signal.afterSeq) before += 1
    if (runUpTo(before)) return true
    while (!automaton.signal(signal)) if (isOver()) return true
    if (isOver()) return true
  }
  return runUpTo(events.length)
}

/** Lets the time between the last event and the end pass; answers whether the policy is over. */
const runToEnd = (automaton: Automaton, timeline: ReplayedTimeline, isOver: () => boolean): boolean => {
  const { end } = timeline
  if (end === undefined || end === null) return false
  // A guest that rests for ever lets any time pass, for as long as that leads anywhere.
  const rests = end.reason === "idle"
  const until = rests ? Infinity : end.atNanos
  let rest = new Rest()
  for (;;) {
    const wake = automaton.wakeAtNanos
    if (wake === null || wake > until || (rests && rest.isOver)) break
    automaton.time(Math.min(until, Math.max(wake, rest.isTheSameUntilNanos)))
    if (automaton.firing !== null) rest = new Rest()
    if (isOver()) return true
    rest.woke(automaton.memories.now, () => automaton.save())
  }
  automaton.time(end.atNanos)
  return isOver()
}

/** Why a policy that has not failed is over. */
const spentReason = (automaton: Automaton, timeline: ReplayedTimeline): TriggerReason =>
  automaton.firedCount > 0
    ? {
        _tag: "NothingArmed",
        policy: automaton.policyName,
        atNanos: automaton.nowNanos,
        progress: automaton.progress()
      }
    : endReason(automaton, timeline)

/** Why a policy has not decided at the end of its timeline. */
const endReason = (automaton: Automaton, timeline: ReplayedTimeline): TriggerReason => {
  const exhausted = exhaustedReason(automaton)
  if (exhausted !== null) return exhausted
  const last = timeline.events.at(-1)
  const progress = automaton.progress()
  if (last?._tag === "EngineFault") {
    return {
      _tag: "EngineFaulted",
      policy: automaton.policyName,
      message: last.message,
      atNanos: automaton.nowNanos,
      progress
    }
  }
  return {
    _tag: "GuestEnded",
    policy: automaton.policyName,
    how: howEnded(timeline),
    atNanos: automaton.nowNanos,
    progress
  }
}

const howEnded = (timeline: ReplayedTimeline) => {
  const last = timeline.events.at(-1)?._tag
  const reason = timeline.end?.reason
  if (reason === "halted" || last === "GuestHalted") return "halted"
  if (reason === "reset" || last === "GuestReset") return "reset"
  return reason === "idle" || reason === "horizon" ? reason : "timeline-ended"
}

/** Why a policy can no longer fire, whatever happens; `null` if it can. */
export const exhaustedReason = (automaton: Automaton): TriggerReason | null => {
  if (!automaton.isExhausted) return null
  const { abandoned, nowNanos, policyName } = automaton
  if (abandoned !== null) {
    return {
      _tag: "Abandoned",
      policy: policyName,
      trigger: abandoned.trigger,
      atNanos: nowNanos,
      quiesce: abandoned.quiesce
    }
  }
  return { _tag: "NothingArmed", policy: policyName, atNanos: nowNanos, progress: automaton.progress() }
}
