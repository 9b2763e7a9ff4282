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
    // What has words of its own says them, as a trigger and a regular expression do.
    const words: unknown =
      Array.isArray(value) || value.toString === Object.prototype.toString ? JSON.stringify(value) : String(value)
    return typeof words === "string" ? words.slice(0, longest) : "an object"
  } catch {
    return "an object"
  }
}
