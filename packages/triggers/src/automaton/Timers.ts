/**
 * The timers of an automaton's parts.
 *
 * @module
 */
import type { FiringCause, GuestNanos } from "@stillpoint/core"
import { horizonNanos } from "../guestDuration.ts"
import type { Memories } from "./Memory.ts"
import { noWakesUsed, refillWakes, useWake, type WakesUsed } from "./WakeAllowance.ts"

/** The source of guest time. */
export interface Moment {
  readonly nowNanos: GuestNanos
  /** The last event that was passed. */
  readonly lastSeq: number
}

/** The receiver of a timer. */
export interface TimerOwner {
  /** Its name in messages. */
  readonly calledName: string
  onTimer(timer: Timer): void
}

/** One timer of a part, set or not. */
export class Timer {
  readonly owner: TimerOwner
  private readonly timers: Timers
  private readonly memory: { dueNanos: number; setAtNanos: number } & WakesUsed

  constructor(owner: TimerOwner, timers: Timers, memories: Memories) {
    this.owner = owner
    this.timers = timers
    this.memory = memories.make({ dueNanos: Infinity, setAtNanos: 0, ...noWakesUsed })
  }

  /** Guest time at which it goes off; infinity if it is not set. */
  get dueNanos(): GuestNanos {
    return this.memory.dueNanos
  }

  get isSet(): boolean {
    return this.memory.dueNanos !== Infinity
  }

  /** Sets it to a duration from now: a duration and not a time, because passing a computed time would allocate an object. */
  setIn(nanos: number): void {
    const { memory, timers } = this
    memory.setAtNanos = timers.moment.nowNanos
    memory.dueNanos = memory.setAtNanos + nanos
    this.wasSet()
  }

  /** Sets it to a guest time. */
  setFor(dueNanos: GuestNanos): void {
    this.memory.setAtNanos = this.timers.moment.nowNanos
    this.memory.dueNanos = dueNanos
    this.wasSet()
  }

  private wasSet(): void {
    const { memory, timers } = this
    // A time past the horizon never comes.
    if (memory.dueNanos > horizonNanos) memory.dueNanos = Infinity
    if (memory.dueNanos < timers.nextDueNanos) timers.nextDueNanos = memory.dueNanos
  }

  clear(): void {
    this.memory.dueNanos = Infinity
  }

  /** Notes that it goes off now; returns the expectation that it broke, in words, if it does so too often. */
  use(): string | null {
    const { lastSeq, nowNanos } = this.timers.moment
    this.clear()
    return useWake(this.memory, nowNanos, lastSeq)
  }

  /** May go off as often as at first. */
  refill(): void {
    refillWakes(this.memory)
  }

  /** That it has gone off now, as the cause of a firing. */
  cause(): FiringCause {
    return { _tag: "Timer", atNanos: this.timers.moment.nowNanos, setAtNanos: this.memory.setAtNanos }
  }
}

/** Every timer of an automaton. */
export class Timers {
  readonly moment: Moment
  /** A lower bound of the next due time. */
  nextDueNanos: number = Infinity
  /**
   * The owner of a timer that has gone off too often since the last event or firing, and the expectation that it broke; `null`
   * if there is none.
   */
  tooMuch: { readonly owner: TimerOwner; readonly expected: string } | null = null
  /** Told, by tests, each time that one goes off. */
  onWake: (() => void) | null = null
  private readonly memories: Memories
  private readonly timers: Array<Timer> = []

  constructor(moment: Moment, memories: Memories) {
    this.moment = moment
    this.memories = memories
  }

  /** A timer of a part. Timers that are due at one nanosecond go off in the order in which they were made. */
  make(owner: TimerOwner): Timer {
    const timer = new Timer(owner, this, this.memories)
    this.timers.push(timer)
    return timer
  }

  /** The earliest due time; infinity if none is set. */
  earliest(): number {
    let earliest = Infinity
    for (let index = 0; index < this.timers.length; index++) {
      const { dueNanos } = this.timers[index] as Timer
      if (dueNanos < earliest) earliest = dueNanos
    }
    this.nextDueNanos = earliest
    return earliest
  }

  /** Lets each that is due by a time go off, in order, until `isOver`. */
  goOff(atNanos: GuestNanos, isOver: () => boolean): void {
    for (let index = 0; index < this.timers.length; index++) {
      const timer = this.timers[index] as Timer
      if (timer.dueNanos > atNanos) continue
      this.onWake?.()
      const expected = timer.use()
      if (expected !== null) this.tooMuch ??= { owner: timer.owner, expected }
      timer.owner.onTimer(timer)
      if (isOver()) return
    }
  }

  /** The policy fires, or its wake-ups can be skipped: each timer gets its full allowance back. */
  refill(): void {
    this.tooMuch = null
    for (const timer of this.timers) timer.refill()
  }
}
