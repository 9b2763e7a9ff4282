/**
 * What the machine needs of a part of the policy that it runs.
 *
 * @module
 */
import type { GuestEvent, GuestNanos, TriggerProgress, TriggerSignal } from "@stillpoint/core"

/** Cells that every part has, from its base. */
export const partCells = { armed: 0, status: 1, armedAt: 2, armedOrdinal: 3, own: 4 } as const

/** One trigger or combinator, as its machine sees it. */
export interface MachinePart {
  readonly id: number
  /** Where its cells begin. */
  readonly base: number
  /** The innermost name that a user gave it or something around it, or else its own. */
  readonly calledName: string
  readonly path: ReadonlyArray<string>
  readonly isArmed: boolean
  readonly isArmedByThisInput: boolean
  /** Whether it stands for itself in an account of who won and who lost. */
  readonly isTrigger: boolean
  readonly armedAtNanos: GuestNanos
  readonly waitedFor: string
  readonly holdNanos: GuestNanos | null
  arm(): void
  onEvent(event: GuestEvent): void
  onTimer(timer: number): void
  onSignal(signal: TriggerSignal): void
  account(): TriggerProgress
}
