/**
 * Guest times and durations as people read them.
 *
 * @module
 */

/**
 * A guest time or duration in the largest unit that it fills, cut to three decimals, never rounded up: what has not been reached
 * does not look reached.
 *
 * @example
 * ```ts
 * import { guestTimeInWords } from "@stillpoint/core"
 *
 * console.log(guestTimeInWords(5_000_000), guestTimeInWords(1_999_999_999)) // 5 ms 1.999 s
 * ```
 */
export const guestTimeInWords = (nanos: number): string => {
  const text = (unitNanos: number, unit: string) => `${Math.trunc(nanos / (unitNanos / 1000)) / 1000} ${unit}`
  if (nanos >= 1e9) return text(1e9, "s")
  if (nanos >= 1e6) return text(1e6, "ms")
  if (nanos >= 1e3) return text(1e3, "µs")
  return `${nanos} ns`
}
