/**
 * The timeline of one guest as a policy sees it: what has happened, and the power to let the guest go on.
 *
 * @module
 */
import { Context, Effect } from "effect"
import type { TriggerSignal } from "./Firing.ts"
import type { GuestActivity } from "./GuestActivity.ts"
import type { GuestEvent, GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { MachineError } from "./MachineErrors.ts"
import type { MachineStop, MachineUntil } from "./Vmm.ts"

/** Until when the guest may go on. */
export interface AdvanceUntil {
  /** Kinds of events to return at. */
  readonly kinds: ReadonlyArray<GuestEventKind>
  /** Guest time to return at; `null` for none. */
  readonly atNanos: GuestNanos | null
  /** As in {@link MachineUntil}; a policy asks for `realTime` while it waits for something outside the guest. */
  readonly pace?: MachineUntil["pace"]
}

/** What happened since the advance or drain before. */
export interface TimelineAdvance {
  /** Every event, of all kinds, in order. */
  readonly events: ReadonlyArray<GuestEvent>
  /** Guest time that has been reached: no event before it is to come. */
  readonly nowNanos: GuestNanos
  /** Why it returned: as {@link MachineStop}; `ended` if the machine was closed or its recording is over. */
  readonly stop: MachineStop["reason"] | "ended"
}

/**
 * What a policy needs to run.
 *
 * In *lockstep* the guest executes only inside {@link advance}, and stands at the very instruction that caused an event while
 * a policy decides. *Free-running*, the guest goes on from the first advance to {@link hold}, and events are looked at as they
 * come.
 */
export class GuestTimeline extends Context.Service<
  GuestTimeline,
  {
    readonly mode: "lockstep" | "free-running"
    /**
     * Guest time at which begins what has not been given out by an advance or a drain yet: a policy is armed here. At first that
     * of {@link beginning}.
     */
    readonly origin: Effect.Effect<GuestNanos>
    /** Guest time now. */
    readonly nowNanos: Effect.Effect<GuestNanos>
    /** Lets the guest go on until one of the kinds, the time, or its end. Interruption holds the guest in lockstep; no event is lost by it. */
    readonly advance: (until: AdvanceUntil) => Effect.Effect<TimelineAdvance, MachineError>
    /** What happened since the last advance or drain, without letting the guest go on. */
    readonly drain: Effect.Effect<TimelineAdvance, MachineError>
    /** Makes the guest stand still; returns the guest time at which it stands. */
    readonly hold: Effect.Effect<GuestNanos, MachineError>
    /** What the guest was in the middle of where the timeline begins: 0, the first instruction, unless it was restored or forked. */
    readonly beginning: GuestActivity
    /** Events between the beginning and the origin: with it, they tell in what condition a policy finds the guest. */
    readonly earlier: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
    /** Asks the agent to freeze the workload. Does not run the guest. */
    readonly requestFreeze: Effect.Effect<void, MachineError>
    /** Gives that back: the agent is asked to thaw it once no policy on the machine holds it. Does not run the guest. */
    readonly requestThaw: Effect.Effect<void, MachineError>
    /** Runs an effect that itself lets the guest go on (`machine.exec`), between two advances: for probes that need the guest. */
    readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | MachineError, R>
  }
>()("@stillpoint/core/GuestTimeline") {}

/**
 * Where a running policy records the signals that it takes in, in order, before it acts on them; nowhere by default.
 *
 * With these and the timeline, a replay takes the same decisions.
 */
export const TriggerSignals = Context.Reference<{ readonly record: (signal: TriggerSignal) => Effect.Effect<void> }>(
  "@stillpoint/core/GuestTimeline/TriggerSignals",
  { defaultValue: () => ({ record: () => Effect.void }) }
)
