/**
 * The automaton's interface to a part of the policy.
 *
 * @module
 */
import type { GuestEvent, GuestNanos, TriggerProgress, TriggerSignal } from "@stillpoint/core"
import type { Correction } from "./Fired.ts"
import type { Timer } from "./Timers.ts"

/** The progress of a part. */
export type Status = TriggerProgress["status"]

/** The memory that every part has. */
export interface Life {
  isArmed: boolean
  status: Status
  /** Guest time of the last arming. */
  armedAtNanos: GuestNanos
  /** Guest time at which it was disarmed last. */
  disarmedAtNanos: GuestNanos
  /** The input that armed it. */
  armedByOrdinal: number
}

/** One trigger or combinator, as its automaton sees it. */
export interface AutomatonPart {
  /** Number of the part, from left to right, a combinator before its parts. */
  readonly id: number
  readonly life: Life
  /** The innermost name that a user gave it or something around it, or else its own. */
  readonly calledName: string
  /** Its name in an account of who lost. */
  readonly toldName: string
  readonly path: ReadonlyArray<string>
  /** Whether it has its own entry in the report of winners and losers. */
  readonly isTrigger: boolean
  /** Number of the trigger that its report is about. */
  readonly tellsOf: number
  /** Whether another part's report covers it. */
  readonly isToldAbove: boolean
  readonly waitedFor: string
  arm(): void
  /**
   * Whether an event of its kinds needs no action by it, apart from counting for its report. Checked for every event while
   * it is armed; if so, it does not get the event.
   */
  overlooks(event: GuestEvent): boolean
  onEvent(event: GuestEvent): void
  onTimer(timer: Timer): void
  onSignal(signal: TriggerSignal): void
  /** Whether an event revokes the event that the part fired on. */
  isUndoneBy(event: GuestEvent, firedOn: GuestEvent | null): boolean
  /** The correction, if an event describes the cause of its firing better than the original event; `null` if not. */
  corrected(event: GuestEvent, firedOn: GuestEvent | null): Correction | null
  account(): TriggerProgress
}
