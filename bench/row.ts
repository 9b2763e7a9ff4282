/**
 * Rows of the table that `make bench` prints.
 *
 * A bench program prints its rows as one JSON array on the last line of standard output.
 */

export interface Row {
  /** The row's name; several rows of one name have different suffixes after `/`. */
  readonly name: string
  readonly unit: string
  readonly value: number
  readonly peer: string | null
  readonly peerValue: number | null
  /** Ours over the peer's, arranged so that below 1 is better for us. */
  readonly ratio: number | null
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

/** Ends a bench program. */
export const finish = (rows: ReadonlyArray<Row>): void => {
  process.stdout.write(`${JSON.stringify(rows)}\n`)
}
