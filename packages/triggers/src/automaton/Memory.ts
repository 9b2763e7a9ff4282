/**
 * What a policy remembers between two inputs.
 *
 * @module
 */

/**
 * One record of it.
 *
 * By the end of its name, a field that holds guest time, `…Nanos`, can be told from one that only tells inputs apart, `…Ordinal`, or
 * is counted for an account and decides nothing, `…Count`. A field holds a value that is never changed in place, but for a `Float64Array`, which is copied: so that a
 * record can be saved, loaded and compared.
 */
export type Memory = object

/** Everything that an automaton remembers, record by record, in the order in which they were made. */
export class Memories {
  private readonly records: Array<{ readonly now: Memory; readonly initial: Memory; readonly copy: Copy }> = []

  /** The records as they stand: they go on changing. */
  readonly now: Array<Memory> = []

  /** A record that begins as the given one. */
  make<M extends Memory>(initial: M): M {
    const copy = Object.values(initial).some((value) => value instanceof Float64Array) ? deepCopy : shallowCopy
    const now = copy(initial)
    this.now.push(now)
    this.records.push({ now, initial, copy })
    return now
  }

  /** Makes each what it was at first. */
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
