/**
 * The deadline of a quiesce.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"
import type { AutomatonPart } from "../../automaton/AutomatonPart.ts"
import type { Automaton } from "../../automaton/Automaton.ts"
import type { Timer } from "../../automaton/Timers.ts"

/** The limit of the wait for calm. */
export class Deadline {
  readonly timer: Timer
  private readonly memory: { limitNanos: number }

  constructor(automaton: Automaton, owner: AutomatonPart) {
    this.timer = automaton.timers.make(owner)
    this.memory = automaton.memories.make({ limitNanos: Infinity })
  }

  /** From the firing; infinity for none. */
  get limitNanos(): GuestNanos {
    return this.memory.limitNanos
  }

  begin(limitNanos: GuestNanos): void {
    this.memory.limitNanos = limitNanos
    if (limitNanos !== Infinity) this.timer.setIn(limitNanos)
  }

  end(): void {
    this.timer.clear()
  }
}
