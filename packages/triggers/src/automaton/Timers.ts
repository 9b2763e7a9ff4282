/**
 * The timers of an automaton's parts: numbers in its cells.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"
import { headerCells } from "./cells.ts"
import type { AutomatonPart } from "./AutomatonPart.ts"

/** Every timer that some part has, set or not. */
export class Timers {
  private readonly owners: Array<AutomatonPart> = []
  private cells: Float64Array = new Float64Array(0)
  private base = 0

  /** A timer of a part. Timers that are due at one nanosecond go off in the order in which they were allocated. */
  allocate(owner: AutomatonPart): number {
    this.owners.push(owner)
    return this.owners.length - 1
  }

  get count(): number {
    return this.owners.length
  }

  /** Cells that they take: when each is due, and when it was set. */
  get cellCount(): number {
    return 2 * this.owners.length
  }

  /** Says where their cells are. */
  place(cells: Float64Array, base: number): void {
    this.cells = cells
    this.base = base
  }

  reset(): void {
    this.cells.fill(Infinity, this.base, this.base + this.owners.length)
    this.cells[headerCells.nextDue] = Infinity
  }

  set(timer: number, dueNanos: GuestNanos): void {
    const { cells } = this
    cells[this.base + timer] = dueNanos
    cells[this.base + this.owners.length + timer] = cells[headerCells.now] as number
    if (dueNanos < (cells[headerCells.nextDue] as number)) cells[headerCells.nextDue] = dueNanos
  }

  clear(timer: number): void {
    this.cells[this.base + timer] = Infinity
  }

  /** When a timer is due; infinity for one that is not set. */
  due(timer: number): GuestNanos {
    return this.cells[this.base + timer] as number
  }

  /** When a timer was set last. */
  setAt(timer: number): GuestNanos {
    return this.cells[this.base + this.owners.length + timer] as number
  }

  owner(timer: number): AutomatonPart {
    return this.owners[timer] as AutomatonPart
  }

  /** The earliest due time; infinity if none is set. */
  earliest(): GuestNanos {
    const { base, cells } = this
    const end = base + this.owners.length
    let earliest = Infinity
    for (let index = base; index < end; index++) {
      const due = cells[index] as number
      if (due < earliest) earliest = due
    }
    return earliest
  }
}
