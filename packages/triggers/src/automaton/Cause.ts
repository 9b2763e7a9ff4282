/**
 * The cause of the firing that is travelling upwards through a policy.
 *
 * @module
 */
import type { FiringCause, GuestEvent, GuestNanos, QuiesceReport, TriggerSignal } from "@stillpoint/core"
import { headerCells } from "./cells.ts"
import type { AutomatonPart } from "./AutomatonPart.ts"

/** What a cause is. */
export const CauseType = { none: 0, event: 1, timer: 2, signal: 3, override: 4 } as const

/** One cause, written over by each input: it is told as a value only when something fires. */
export class Cause {
  type: number = CauseType.none
  atNanos: GuestNanos = 0
  /** Of a timer: when it was set. */
  setAtNanos: GuestNanos = 0
  /** The event, the signal, or the cause that a user put in its place. */
  object: unknown = null
  /** The trigger that it made fire. */
  part: AutomatonPart | null = null
  /** Report of the quiesce that the firing went through; the outermost one counts. */
  quiesceReport: QuiesceReport | null = null

  private cells: Float64Array = new Float64Array(0)

  place(cells: Float64Array): void {
    this.cells = cells
  }

  /** An event that happens now. Time is not handed over: it would be an object where the call is not compiled away. */
  isEvent(event: GuestEvent): void {
    this.type = CauseType.event
    this.atNanos = this.cells[headerCells.now] as number
    this.object = event
  }

  isTimer(atNanos: GuestNanos, setAtNanos: GuestNanos): void {
    this.type = CauseType.timer
    this.atNanos = atNanos
    this.setAtNanos = setAtNanos
    this.object = null
  }

  isSignal(signal: TriggerSignal): void {
    this.type = CauseType.signal
    this.atNanos = signal.atNanos
    this.object = signal
  }

  isReplacedBy(cause: FiringCause): void {
    this.type = CauseType.override
    this.object = cause
  }

  clear(): void {
    this.type = CauseType.none
    this.object = null
    this.part = null
    this.quiesceReport = null
  }

  /** As a value. */
  toFiringCause(): FiringCause {
    switch (this.type) {
      case CauseType.event:
        return { _tag: "Event", event: this.object as GuestEvent }
      case CauseType.signal:
        return { _tag: "Signal", signal: this.object as TriggerSignal }
      case CauseType.override:
        return this.object as FiringCause
      default:
        return { _tag: "Timer", atNanos: this.atNanos, setAtNanos: this.setAtNanos }
    }
  }
}
