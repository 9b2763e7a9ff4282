/**
 * What the automaton needs of a part of the policy that it runs.
 *
 * @module
 */
import type { GuestEvent, GuestNanos, TriggerProgress, TriggerSignal } from "@stillpoint/core"

/** One trigger or combinator, as its automaton sees it. */
export interface AutomatonPart {
  readonly id: number
  /** Where its cells begin. */
  readonly base: number
  /** The innermost name that a user gave it or something around it, or else its own. */
  readonly calledName: string
  /** Its name in an account of who lost. */
  readonly toldName: string
  readonly path: ReadonlyArray<string>
  readonly isArmed: boolean
  readonly isArmedByThisInput: boolean
  /** Whether it stands for itself in an account of who won and who lost. */
  readonly isTrigger: boolean
  /** Whether the account of another one tells of it. */
  readonly isToldAbove: boolean
  readonly armedAtNanos: GuestNanos
  readonly waitedFor: string
  readonly holdNanos: GuestNanos | null
  arm(): void
  /**
   * Whether an event of its kinds is nothing to it, beyond what it counts for its account. Asked of every event while it is
   * armed, before guest time is set; if so, the event is not handed to it.
   */
  overlooks(event: GuestEvent): boolean
  onEvent(event: GuestEvent): void
  onTimer(timer: number): void
  onSignal(signal: TriggerSignal): void
  account(): TriggerProgress
}
