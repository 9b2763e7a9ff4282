/**
 * The system's names for failures.
 *
 * @module
 */

/**
 * The system's code for a failure (`ENOSPC`), or the message if it has none.
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
