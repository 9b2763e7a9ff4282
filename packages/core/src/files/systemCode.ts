/**
 * What the system called a failure.
 *
 * @module
 */

/**
 * The code of what the system said (`ENOSPC`), or the message of what has none.
 *
 * @example
 * ```ts
 * import { codeOf } from "@stillpoint/core"
 *
 * console.log(codeOf(new Error("not of the system"))) // not of the system
 * ```
 */
export const codeOf = (cause: unknown): string => {
  if (typeof cause !== "object" || cause === null) return String(cause)
  const { code, message } = cause as { readonly code?: unknown; readonly message?: unknown }
  return typeof code === "string" ? code : typeof message === "string" ? message : String(cause)
}
