const sorted = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, held]) => held !== undefined)
      .toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, held]) => [key, sorted(held)])
  )
}

/** JSON text that is equal for equal values: keys sorted by code unit, no spaces, absent and `undefined` alike. */
export const canonicalJson = (value: unknown): string => JSON.stringify(sorted(value))
