/**
 * Describes values of a user's code for messages.
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
    // A value with its own description uses it, as triggers and regular expressions do.
    const words: unknown =
      Array.isArray(value) || value.toString === Object.prototype.toString ? JSON.stringify(value) : String(value)
    return typeof words === "string" ? words.slice(0, longest) : "an object"
  } catch {
    return "an object"
  }
}
