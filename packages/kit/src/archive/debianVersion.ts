/**
 * The order of Debian version numbers: `[epoch:]upstream[-revision]`.
 *
 * Source: Debian Policy, 5.6.12. Digits compare as numbers, letters before other characters, and `~`
 * before everything, even the end.
 *
 * @module
 */

const weight = (character: string | undefined): number => {
  if (character === "~") return -1
  if (character === undefined || /[0-9]/.test(character)) return 0
  return /[A-Za-z]/.test(character) ? character.charCodeAt(0) : character.charCodeAt(0) + 256
}

/** Compares upstream versions, or revisions: stretches of non-digits and digits in turn. */
const comparePart = (a: string, b: string): number => {
  let i = 0
  let j = 0
  while (i < a.length || j < b.length) {
    while ((i < a.length && !/[0-9]/.test(a.charAt(i))) || (j < b.length && !/[0-9]/.test(b.charAt(j)))) {
      const difference = weight(a[i]) - weight(b[j])
      if (difference !== 0) return difference
      i++
      j++
    }
    const left = /^[0-9]*/.exec(a.slice(i))?.[0] ?? ""
    const right = /^[0-9]*/.exec(b.slice(j))?.[0] ?? ""
    const difference = BigInt(left || "0") - BigInt(right || "0")
    if (difference !== 0n) return difference > 0n ? 1 : -1
    i += left.length
    j += right.length
  }
  return 0
}

const split = (version: string): readonly [epoch: string, upstream: string, revision: string] => {
  const colon = version.indexOf(":")
  const rest = version.slice(colon + 1)
  const dash = rest.lastIndexOf("-")
  return [
    colon < 0 ? "0" : version.slice(0, colon),
    dash < 0 ? rest : rest.slice(0, dash),
    dash < 0 ? "0" : rest.slice(dash + 1)
  ]
}

/**
 * Negative when `a` is older than `b`, positive when newer, 0 when they are the same version.
 *
 * @example
 * ```ts
 * import { compareDebianVersions } from "@stillpoint/kit"
 *
 * console.log(compareDebianVersions("6.12.107-1", "6.12.94-1") > 0) // true
 * console.log(compareDebianVersions("1.0~rc1-1", "1.0-1") < 0) // true
 * ```
 */
export const compareDebianVersions = (a: string, b: string): number => {
  const [left, right] = [split(a), split(b)]
  for (const part of [0, 1, 2] as const) {
    const difference = comparePart(left[part], right[part])
    if (difference !== 0) return Math.sign(difference)
  }
  return 0
}
