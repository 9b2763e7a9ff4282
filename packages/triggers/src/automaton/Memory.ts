/**
 * The memory of a policy between two inputs.
 *
 * @module
 */

/**
 * One record of it.
 *
 * The end of a field's name gives its meaning: `…Nanos` holds guest time, `…Ordinal` only distinguishes inputs, and `…Count` is
 * for reports and decides nothing. A field's value is never changed in place, except a `Float64Array`, which is copied, so that a
 * record can be saved, loaded and compared.
 */
export type Memory = object

/** Everything that an automaton remembers, record by record, in the order in which they were made. */
export class Memories {
  private readonly records: Array<{ readonly now: Memory; readonly initial: Memory; readonly copy: Copy }> = []

  /** The live records, which change. */
  readonly now: Array<Memory> = []

  /** A record that begins as the given one. */
  make<M extends Memory>(initial: M): M {
    const copy = Object.values(initial).some((value) => value instanceof Float64Array) ? deepCopy : shallowCopy
    const now = copy(initial)
    this.now.push(now)
    this.records.push({ now, initial, copy })
    return now
  }

  /** Resets each to its initial value. */
  reset(): void {
    for (const { copy, initial, now } of this.records) Object.assign(now, copy === deepCopy ? copy(initial) : initial)
  }

  save(): ReadonlyArray<Memory> {
    return this.records.map(({ copy, now }) => copy(now))
  }

  load(saved: ReadonlyArray<Memory>): void {
    this.records.forEach(({ copy, now }, index) => Object.assign(now, copy(saved[index] as Memory)))
  }
}

type Copy = <M extends Memory>(record: M) => M

const shallowCopy: Copy = (record) => ({ ...record })

const deepCopy: Copy = (record) =>
  Object.fromEntries(
    Object.entries(record).map(([field, value]) => [field, value instanceof Float64Array ? value.slice() : value])
  ) as typeof record
