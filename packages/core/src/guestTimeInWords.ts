/**
 * Guest times and durations as people read them.
 *
 * @module
 */

/**
 * A guest time or duration in the largest unit that it fills, exact to the nanosecond, so printed times can be added
 * up.
 *
 * @example
 * ```ts
 * import { guestTimeInWords } from "@stillpoint/core"
 *
 * console.log(guestTimeInWords(5_000_000), guestTimeInWords(1_999_999_999)) // 5 ms 1.999999999 s
 * ```
 */
export const guestTimeInWords = (nanos: number): string => {
  for (const [unitNanos, decimals, unit] of units) {
    if (nanos < unitNanos) continue
    const fraction = String(nanos % unitNanos)
      .padStart(decimals, "0")
      .replace(/0+$/, "")
    return `${Math.floor(nanos / unitNanos)}${fraction === "" ? "" : `.${fraction}`} ${unit}`
  }
  return `${nanos} ns`
}

const units = [
  [1e9, 9, "s"],
  [1e6, 6, "ms"],
  [1e3, 3, "µs"]
] as const
