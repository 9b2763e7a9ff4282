/**
 * A cause that a part keeps for later: what a debounce, an `allOf` or a quiesce will name when it fires.
 *
 * @module
 */
import type { QuiesceReport } from "@stillpoint/core"
import { CauseType, type PolicyMachine } from "./PolicyMachine.ts"

/** One remembered cause, in the cells and objects of its machine. Must be made where its part is built. */
export class CauseMemory {
  private readonly machine: PolicyMachine
  private readonly base: number
  private readonly object: number

  constructor(machine: PolicyMachine) {
    this.machine = machine
    this.base = machine.allocateCells(4)
    this.object = machine.allocateObjects(2)
  }

  /** Remembers the cause that stands in the machine. */
  keep(): void {
    const { cells, objects } = this.machine
    cells[this.base] = this.machine.causeType
    cells[this.base + 1] = this.machine.causeAt
    // Only a timer has one; what stands there otherwise is from another input, and no part of the state.
    cells[this.base + 2] = this.machine.causeType === CauseType.timer ? this.machine.causeSetAt : 0
    cells[this.base + 3] = this.machine.causePart?.id ?? -1
    objects[this.object] = this.machine.causeObject
    objects[this.object + 1] = this.machine.quiesceReport
  }

  /** Puts the remembered cause back into the machine. */
  recall(): void {
    const { machine } = this
    const { cells, objects } = machine
    machine.causeType = cells[this.base] as number
    machine.causeAt = cells[this.base + 1] as number
    machine.causeSetAt = cells[this.base + 2] as number
    machine.causePart = machine.part(cells[this.base + 3] as number)
    machine.causeObject = objects[this.object]
    machine.quiesceReport = objects[this.object + 1] as QuiesceReport | null
  }
}
