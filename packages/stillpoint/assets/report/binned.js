/**
 * From the points of a lane to what each column of a drawing shows, however many points there are.
 *
 * @module
 */

/**
 * A lane in the page: its times in nanoseconds, ascending, and their values; `null` where each counts as one.
 *
 * @typedef {{ readonly shape: "count" | "level" | "share" | "sum", readonly at: Float64Array, readonly values: Float64Array | null }} Points
 */

/**
 * The first index whose time is at least `time`.
 *
 * @param {Float64Array} at
 * @param {number} time
 */
export const firstAt = (at, time) => {
  let low = 0
  let high = at.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((at[middle] ?? 0) < time) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * The values of a lane between two times, both included, in columns of equal width: sums for `count` and `sum`, the highest level
 * for `level`, the part of the time at level 1 for `share`; and the same over the whole range. Levels are unknown after `end`.
 *
 * @param {Points} points
 * @param {number} from
 * @param {number} to
 * @param {number} columns
 * @param {number} [end]
 * @returns {{ readonly ys: Array<number | null>, readonly points: number, readonly total: number }}
 */
export const binned = ({ at, shape, values }, from, to, columns, end = Infinity) => {
  /** @type {Array<number | null>} */
  const ys = Array.from({ length: columns }, () => 0)
  const width = (to - from) / columns
  const first = firstAt(at, from)
  let next = first
  let total = 0
  if (shape === "count" || shape === "sum") {
    for (; next < at.length && (at[next] ?? 0) <= to; next += 1) {
      const column = Math.min(columns - 1, Math.floor(((at[next] ?? 0) - from) / width))
      const value = values === null ? 1 : (values[next] ?? 0)
      ys[column] = (ys[column] ?? 0) + value
      total += value
    }
    return { ys, points: next - first, total }
  }
  // A processor works from the first instruction on; every other lane is empty before its first event.
  let level = first > 0 ? (values?.[first - 1] ?? 0) : shape === "share" ? 1 : 0
  let known = 0
  for (let column = 0; column < columns; column += 1) {
    const begin = from + column * width
    const until = Math.min(end, column === columns - 1 ? to : begin + width)
    if (until <= begin) {
      ys[column] = null
      continue
    }
    let time = begin
    let highest = level
    let busy = 0
    for (; next < at.length && (at[next] ?? 0) <= until; next += 1) {
      const then = at[next] ?? 0
      busy += level * (then - time)
      time = then
      level = values?.[next] ?? 0
      highest = Math.max(highest, level)
    }
    busy += level * (until - time)
    known += until - begin
    ys[column] = shape === "share" ? Math.min(1, Math.max(0, busy / (until - begin))) : highest
    total += busy
  }
  return { ys, points: next - first, total: shape === "share" ? total / Math.max(1, known) : next - first }
}

/**
 * So many of them, in words: all that is counted here has a plural with an s.
 *
 * @param {number} count
 * @param {string} plural
 */
export const counted = (count, plural) =>
  `${count.toLocaleString("en-US")} ${count === 1 ? plural.slice(0, -1) : plural}`

/**
 * A time as people read it, in the unit that fits what is in view.
 *
 * @param {number} nanos
 * @param {number} span
 */
export const timeInWords = (nanos, span) => {
  const [unit, name] = span >= 2e9 ? [1e9, "s"] : span >= 2e6 ? [1e6, "ms"] : span >= 2e3 ? [1e3, "µs"] : [1, "ns"]
  const decimals = Math.max(0, Math.min(6, 3 - Math.floor(Math.log10(span / unit))))
  return `${(nanos / unit).toLocaleString("en-US", { maximumFractionDigits: decimals })} ${name}`
}
