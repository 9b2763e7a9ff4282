/**
 * The way of one kind of event to the parts of a policy that wait for it.
 *
 * @module
 */
import type { AutomatonPart, Life } from "./AutomatonPart.ts"

/** A part at a channel, with its life at hand: looking for that at parts of many classes would cost more than all the rest. */
export interface Listener {
  readonly part: AutomatonPart
  readonly life: Life
}

/** One kind of event. */
export class Channel {
  readonly listeners: Array<Listener> = []
  /** Whether the condition of the guest is read from it. */
  isTelling = false
  /** How many parts wait for it now. */
  waiting = 0

  /** Whether an event of this kind is nothing to anybody. */
  get isQuiet(): boolean {
    return this.waiting === 0 && !this.isTelling
  }

  /** Makes a part one of those that may wait for it. */
  add(part: AutomatonPart): void {
    this.listeners.push({ part, life: part.life })
  }
}
