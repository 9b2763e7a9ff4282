/**
 * Rows of the bench table.
 *
 * @module
 */

/** One figure, and that of a peer in the same run; below 1, `ratio` is in our favour. */
export interface Row {
  readonly name: string
  readonly unit: string
  readonly value: number
  readonly peer: string | null
  readonly peerValue: number | null
  readonly ratio: number | null
}

/** The middle of some figures. */
export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** Prints rows as one line. */
export const print = (rows: ReadonlyArray<Row>): void => void process.stdout.write(`${JSON.stringify(rows)}\n`)
