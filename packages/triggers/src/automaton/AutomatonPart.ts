/**
 * What the automaton needs of a part of the policy that it runs.
 *
 * @module
 */
import type { GuestEvent, GuestNanos, TriggerProgress, TriggerSignal } from "@stillpoint/core"
import type { Correction } from "./Fired.ts"
import type { Timer } from "./Timers.ts"

/** How far a part has got. */
export type Status = TriggerProgress["status"]

/** What every part remembers. */
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
  /** Whether it stands for itself in an account of who won and who lost. */
  readonly isTrigger: boolean
  /** Number of the trigger that it tells of in an account. */
  readonly tellsOf: number
  /** Whether the account of another one tells of it. */
  readonly isToldAbove: boolean
  readonly waitedFor: string
  arm(): void
  /**
   * Whether an event of its kinds is nothing to it, beyond what it counts for its account. Asked of every event while it is
   * armed; if so, the event is not handed to it.
   */
  overlooks(event: GuestEvent): boolean
  onEvent(event: GuestEvent): void
  onTimer(timer: Timer): void
  onSignal(signal: TriggerSignal): void
  /** Whether an event takes back what the part has fired on. */
  isUndoneBy(event: GuestEvent, firedOn: GuestEvent | null): boolean
  /** What the part would say had it fired on an event and not on what it fired on, if the event says better; `null` if not. */
  corrected(event: GuestEvent, firedOn: GuestEvent | null): Correction | null
  account(): TriggerProgress
}
