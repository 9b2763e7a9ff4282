/**
 * The way of one kind of event to the parts of a policy that wait for it.
 *
 * @module
 */
import type { AutomatonPart, Life } from "./AutomatonPart.ts"

/**
 * A part on a channel, with its life beside it: reading that from parts of many classes would cost more than everything else.
 */
export interface Listener {
  readonly part: AutomatonPart
  readonly life: Life
}

/** One kind of event. */
export class Channel {
  readonly listeners: Array<Listener> = []
  /** Whether the guest's condition depends on it. */
  isTelling = false
  /** Number of parts that wait for it now. */
  waiting = 0

  /** Whether an event of this kind affects no part. */
  get isQuiet(): boolean {
    return this.waiting === 0 && !this.isTelling
  }

  /** Makes a part one of those that may wait for it. */
  add(part: AutomatonPart): void {
    this.listeners.push({ part, life: part.life })
  }
}
