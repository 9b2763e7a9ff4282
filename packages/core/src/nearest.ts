/**
 * Names that were mistyped.
 *
 * @module
 */

/**
 * Edit distance with transpositions: insertions, deletions, replacements and swaps of neighbours that turn one name into
 * the other.
 */
const distance = (one: string, other: string): number => {
  let before: Array<number> = []
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (let i = 1; i <= one.length; i++) {
    const above = row
    row = [i]
    for (let j = 1; j <= other.length; j++) {
      const exchanged = (above[j - 1] as number) + (one[i - 1] === other[j - 1] ? 0 : 1)
      const isSwap = i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1]
      const swapped = isSwap ? (before[j - 2] as number) + 1 : Infinity
      row.push(Math.min(exchanged, swapped, (above[j] as number) + 1, (row[j - 1] as number) + 1))
    }
    before = above
  }
  return row[other.length] as number
}

/** Longer ones are no slips of the finger, and take long to compare. */
const longestName = 60

/** The known name that was probably meant, if one is near, as text that continues after `unknown x`. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  const plain = (text: string): string => text.toLowerCase().replace(/[-_/ ]/g, "")
  if (name.length > longestName) return ""
  let best: { readonly name: string; readonly far: number } | undefined
  for (const candidate of known) {
    const far = distance(plain(name), plain(candidate.slice(0, longestName)))
    if (best === undefined || far < best.far) best = { name: candidate, far }
  }
  return best !== undefined && best.far <= Math.max(1, Math.floor(name.length / 3)) ? `; did you mean ${best.name}` : ""
}
