/** How the values of `make bench` are measured: each side in turn, round after round; the result is the median. */

/** One measuring of one side. */
export type Side<A> = () => A | Promise<A>

export interface MeasureOptions {
  /** Number of rounds, unless `STILLPOINT_BENCH_ROUNDS` is set; 5 if absent. */
  readonly rounds?: number
  /** Rounds before the measured ones, for code that is compiled at run time; none if absent. */
  readonly warmUps?: number
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const roundsOf = (wanted: number): number =>
  Math.max(1, Math.trunc(Number(process.env["STILLPOINT_BENCH_ROUNDS"])) || wanted)

/** The values of each side, round by round, in the order of the sides: a disturbance of the machine affects all alike. */
export const inTurns = async <const Values extends ReadonlyArray<unknown>>(
  sides: { readonly [Index in keyof Values]: Side<Values[Index]> },
  options: MeasureOptions = {}
): Promise<{ readonly [Index in keyof Values]: ReadonlyArray<Values[Index]> }> => {
  const { rounds = 5, warmUps = 0 } = options
  const values = sides.map((): Array<unknown> => [])
  for (let round = -warmUps; round < roundsOf(rounds); round++) {
    for (const [index, side] of sides.entries()) {
      const value = await side()
      if (round >= 0) values[index]?.push(value)
    }
  }
  return values as unknown as { readonly [Index in keyof Values]: ReadonlyArray<Values[Index]> }
}

/** The median of each side, in the order of the sides. */
export const measure = async <const Sides extends ReadonlyArray<Side<number>>>(
  sides: Sides,
  options?: MeasureOptions
): Promise<{ readonly [Index in keyof Sides]: number }> => {
  const values: ReadonlyArray<ReadonlyArray<number>> = await inTurns<ReadonlyArray<number>>(sides, options)
  return values.map(median) as unknown as { readonly [Index in keyof Sides]: number }
}

/** Begins now; says how many host milliseconds have passed since. */
export const stopwatch = (): (() => number) => {
  const began = performance.now()
  return () => performance.now() - began
}

/** Host milliseconds that `work` takes. */
export const milliseconds = async (work: () => unknown): Promise<number> => {
  const passed = stopwatch()
  await work()
  return passed()
}
