/**
 * Rows of the table that `make bench` prints, and how their values are taken.
 *
 * A bench program prints its rows as one JSON array on the last line of standard output.
 */

export interface Row {
  /** The row's name; several rows of one name are told apart by a suffix after `/`. */
  readonly name: string
  readonly unit: string
  readonly value: number
  readonly peer: string | null
  readonly peerValue: number | null
  /** Ours over the peer's, arranged so that below 1 is better for us. */
  readonly ratio: number | null
}

/** How many times each side is measured. */
export const rounds = Math.max(1, Number(process.env["STILLPOINT_BENCH_ROUNDS"] ?? 5))

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const rounded = (value: number): number => Number(value.toPrecision(5))

/** A row; `better` says whether less or more is better. */
export const row = (
  name: string,
  unit: string,
  value: number,
  options: { readonly peer?: string; readonly peerValue?: number; readonly better?: "less" | "more" } = {}
): Row => {
  const { better = "less", peer, peerValue } = options
  if (peer === undefined || peerValue === undefined) {
    return { name, unit, value: rounded(value), peer: null, peerValue: null, ratio: null }
  }
  const ratio = better === "less" ? value / peerValue : peerValue / value
  return { name, unit, value: rounded(value), peer, peerValue: rounded(peerValue), ratio: rounded(ratio) }
}

/** Measures each side `rounds` times, in turns, and gives the medians in the order of the sides. */
export const alternating = async (...sides: ReadonlyArray<() => Promise<number>>): Promise<ReadonlyArray<number>> => {
  const values = sides.map((): Array<number> => [])
  for (let round = 0; round < rounds; round++) {
    for (const [index, side] of sides.entries()) values[index]?.push(await side())
  }
  return values.map(median)
}

/** Host milliseconds that `work` takes. */
export const milliseconds = async (work: () => Promise<unknown>): Promise<number> => {
  const began = process.hrtime.bigint()
  await work()
  return Number(process.hrtime.bigint() - began) / 1e6
}

/** Ends a bench program. */
export const finish = (rows: ReadonlyArray<Row>): void => {
  process.stdout.write(`${JSON.stringify(rows)}\n`)
}
