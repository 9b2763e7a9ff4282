/**
 * The timeline of one guest as a policy sees it: its past events, and the means to run the guest on.
 *
 * @module
 */
import { Context, Effect } from "effect"
import type { TriggerSignal } from "./Firing.ts"
import type { GuestActivity } from "./GuestActivity.ts"
import type { GuestEvent, GuestEventKind, GuestNanos } from "./GuestEvent.ts"
import type { MachineError } from "./MachineErrors.ts"
import type { MachineStop, MachineUntil } from "./Vmm.ts"

/** The end of an advance. */
export interface AdvanceUntil {
  /** Kinds of events to return at. */
  readonly kinds: ReadonlyArray<GuestEventKind>
  /** Guest time to return at; `null` for none. */
  readonly atNanos: GuestNanos | null
  /** As in {@link MachineUntil}; a policy asks for `realTime` while it waits for something outside the guest. */
  readonly pace?: MachineUntil["pace"]
}

/** The events since the last advance or drain. */
export interface TimelineAdvance {
  /** Every event, of all kinds, in order. */
  readonly events: ReadonlyArray<GuestEvent>
  /** Guest time that has been reached: no event before it is to come. */
  readonly nowNanos: GuestNanos
  /** The reason for the return, as in {@link MachineStop}; `ended` if the machine was closed or its recording is over. */
  readonly stop: MachineStop["reason"] | "ended"
}

/**
 * The service that a policy needs to run.
 *
 * In *lockstep* the guest executes only inside {@link advance}, and stands at the very instruction that caused an event while a
 * policy decides. *Free-running*, the guest runs from the first advance to {@link hold}, and the policy looks at events as they
 * come.
 */
export class GuestTimeline extends Context.Service<
  GuestTimeline,
  {
    readonly mode: "lockstep" | "free-running"
    /**
     * Guest time at which the events begin that no advance or drain has returned yet; a policy is armed there. At first, that of
     * {@link beginning}.
     */
    readonly origin: Effect.Effect<GuestNanos>
    /** Guest time now. */
    readonly nowNanos: Effect.Effect<GuestNanos>
    /**
     * Runs the guest until one of the kinds, the time, or its end. Interruption stops the guest in lockstep and loses no event.
     */
    readonly advance: (until: AdvanceUntil) => Effect.Effect<TimelineAdvance, MachineError>
    /** The events since the last advance or drain, without running the guest. */
    readonly drain: Effect.Effect<TimelineAdvance, MachineError>
    /** Makes the guest stand still; returns the guest time at which it stands. */
    readonly hold: Effect.Effect<GuestNanos, MachineError>
    /** The guest's activity where the timeline begins: none at the first instruction, unless it was restored or forked. */
    readonly beginning: GuestActivity
    /** Events between the beginning and the origin: with it, they tell in what condition a policy finds the guest. */
    readonly earlier: Effect.Effect<ReadonlyArray<GuestEvent>, MachineError>
    /** Asks the agent to freeze the workload. Does not run the guest. */
    readonly requestFreeze: Effect.Effect<void, MachineError>
    /**
     * Withdraws that request: the agent thaws the workload once no policy on the machine requires the freeze. Does not run the
     * guest.
     */
    readonly requestThaw: Effect.Effect<void, MachineError>
    /** Runs an effect that itself runs the guest (`machine.exec`), between two advances: for probes that need the guest. */
    readonly exclusively: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | MachineError, R>
  }
>()("@stillpoint/core/GuestTimeline") {}

/**
 * The place where a running policy records its signals, in order, before it acts on them; none by default.
 *
 * With these and the timeline, a replay takes the same decisions.
 */
export const TriggerSignals = Context.Reference<{ readonly record: (signal: TriggerSignal) => Effect.Effect<void> }>(
  "@stillpoint/core/GuestTimeline/TriggerSignals",
  { defaultValue: () => ({ record: () => Effect.void }) }
)
