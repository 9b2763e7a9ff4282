/**
 * A policy that wakes itself again and again, and after a while is as it was, but for the time that has passed.
 *
 * @module
 */
import type { Memory } from "./Memory.ts"

type State = ReadonlyArray<Memory>

/** One time round. */
export interface Round {
  readonly before: State
  /** The earliest time that it has been waiting for throughout; infinity if there is none. */
  readonly untilNanos: number
}

/** Found before the wake-ups are twice as many as it has: by Brent's way, a state is kept, and replaced ever more rarely. */
export class Circle {
  private wakes = 0
  private kept: State | null = null
  /** Number of wake-ups of the policy since its start. */
  get wakeCount(): number {
    return this.wakes
  }

  /**
   * The policy woke up, and nothing else has happened. If it goes in circles, returns the round: its earlier, equal state. From
   * now on it repeats the steps since then, until an input other than time arrives, or a time that it has been waiting for
   * throughout. `now` is its present state, `save` makes a copy to keep.
   */
  woke(now: State, save: () => State): Round | null {
    this.wakes += 1
    // Most decide within a few.
    if (this.wakes < 16) return null
    if (this.kept !== null && isSameLater(this.kept, now)) {
      return { before: this.kept, untilNanos: earliestOf(this.kept, now) }
    }
    if ((this.wakes & (this.wakes - 1)) === 0) this.kept = save()
    return null
  }
}

/**
 * Circles, and circles of those: what goes round until a timer goes off may begin again with it, and then go round with that.
 */
export class Circles {
  private readonly levels: Array<Circle> = []

  /** Like a {@link Circle}; calls `found` for each circle, from the innermost outwards. */
  woke(now: State, save: () => State, found: (round: Round) => void): void {
    for (let level = 0; ; level++) {
      const circle = (this.levels[level] ??= new Circle())
      const round = circle.woke(now, save)
      if (round === null) return
      found(round)
      this.levels[level] = new Circle()
    }
  }
}

/** Guest time between two states. */
export const passedNanos = (before: State, now: State): number => timeOf(now) - timeOf(before)

/** The state of a policy that goes in circles after some more rounds. */
export const afterRounds = (before: State, now: State, rounds: number): State =>
  now.map((record, index) => further(before[index], record, rounds) as Memory)

/** The first record is the automaton's own. */
const timeOf = ([moment]: State): number => (moment as { readonly nowNanos: number }).nowNanos

const isSameLater = (before: State, now: State): boolean => {
  const passed = passedNanos(before, now)
  return passed > 0 && before.every((record, index) => isSame(record, now[index], "", passed))
}

/** The earliest timer that was not set again. */
const earliestOf = (before: State, now: State): number =>
  now.reduce<number>((earliest, record, index) => {
    if (!("dueNanos" in record) || (before[index] as { readonly dueNanos: number }).dueNanos !== record.dueNanos)
      return earliest
    return Math.min(earliest, record.dueNanos as number)
  }, Infinity)

const isSame = (before: unknown, now: unknown, field: string, passed: number): boolean => {
  if (Object.is(before, now) || /(?:Count|Ordinal)$/.test(field)) return true
  if (typeof before === "number" && typeof now === "number") return field.endsWith("Nanos") && before + passed === now
  if (before instanceof Float64Array && now instanceof Float64Array) {
    return before.every((value, index) => isSame(value, now[index], field, passed))
  }
  if (!isRecord(before) || !isRecord(now)) return false
  const fields = Object.keys(before)
  return fields.length === Object.keys(now).length && fields.every((key) => isSame(before[key], now[key], key, passed))
}

const further = (before: unknown, now: unknown, rounds: number): unknown => {
  if (Object.is(before, now)) return now
  if (typeof before === "number" && typeof now === "number") return now + rounds * (now - before)
  if (before instanceof Float64Array && now instanceof Float64Array) {
    return now.map((value, index) => further(before[index], value, rounds) as number)
  }
  if (!isRecord(before) || !isRecord(now)) return now
  return Object.fromEntries(Object.entries(now).map(([key, value]) => [key, further(before[key], value, rounds)]))
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
