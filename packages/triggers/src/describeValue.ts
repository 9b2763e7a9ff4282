/**
 * Values of a user's code in words, for messages that say what was found.
 *
 * @module
 */

const longest = 80

/** E.g. `undefined`, `a promise`, `{"state":1}`. */
export const describeValue = (value: unknown): string => {
  if (value instanceof Promise) return "a promise: it must answer at once"
  if (typeof value === "function") return "a function"
  if (typeof value !== "object" || value === null) return String(value).slice(0, longest)
  try {
    return (JSON.stringify(value) ?? Object.prototype.toString.call(value)).slice(0, longest)
  } catch {
    return Object.prototype.toString.call(value)
  }
}
