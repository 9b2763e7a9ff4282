/**
 * A cause that a part keeps for later: what a debounce, an `allOf` or a quiesce will name when it fires.
 *
 * @module
 */
import type { QuiesceReport } from "@stillpoint/core"
import { CauseType } from "./Cause.ts"
import type { Automaton } from "./Automaton.ts"
import type { AutomatonPart } from "./AutomatonPart.ts"

/** One remembered cause, in the cells and objects of its automaton. Must be made where its part is built. */
export class CauseMemory {
  private readonly automaton: Automaton
  private readonly base: number
  private readonly object: number

  constructor(automaton: Automaton) {
    this.automaton = automaton
    this.base = automaton.allocateCells(4)
    this.object = automaton.allocateObjects(2)
  }

  /** Remembers the cause that stands in the automaton. */
  keep(): void {
    const { cause, cells, objects } = this.automaton
    cells[this.base] = cause.type
    cells[this.base + 1] = cause.atNanos
    // Only a timer has one; what stands there otherwise is from another input, and no part of the state.
    cells[this.base + 2] = cause.type === CauseType.timer ? cause.setAtNanos : 0
    cells[this.base + 3] = cause.part?.id ?? -1
    objects[this.object] = cause.object
    objects[this.object + 1] = cause.quiesceReport
  }

  /** The trigger that fired on it. */
  get part(): AutomatonPart | null {
    return this.automaton.part(this.automaton.cells[this.base + 3] as number)
  }

  /** Puts the remembered cause back into the automaton. */
  recall(): void {
    const { cause, cells, objects } = this.automaton
    cause.type = cells[this.base] as number
    cause.atNanos = cells[this.base + 1] as number
    cause.setAtNanos = cells[this.base + 2] as number
    cause.part = this.automaton.part(cells[this.base + 3] as number)
    cause.object = objects[this.object]
    cause.quiesceReport = objects[this.object + 1] as QuiesceReport | null
  }
}
