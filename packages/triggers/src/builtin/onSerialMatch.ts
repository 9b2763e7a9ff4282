import type { GuestEvent, GuestEventOf } from "@stillpoint/core"
import { requireOptions } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { linearPattern } from "./linearPattern.ts"
import { eventPolicy } from "./onEvent.ts"

/** Where to look. */
export interface SerialMatchOptions {
  /** Number of the serial port; 0, the console, if absent. */
  readonly port?: number
}

/**
 * Fires when a line on a serial port matches:
 * `onSerialMatch(p)(a) = min { e.at | e after a, e is SerialLine on the port, p occurs in e.text }`.
 *
 * A string matches where it occurs in the line; a regular expression where it finds something. Anything that can write to the
 * console can fire it. Expressions are matched in linear time, as RE2 does: look-around, back references and counts above 1,000 are
 * refused with a `PolicyError`. A prompt, which has no newline, is no line: for that there is `onSerialText`.
 *
 * - *Same instant*: of several lines, the one with the lowest `seq`.
 * - *Already true at arming*: a line at or before the arming does not count.
 * - *Guest ends first*: never fires; a last line without a newline counts, once the port is flushed.
 *
 * @example
 * ```ts
 * import { onSerialMatch } from "@stillpoint/triggers"
 *
 * console.log(onSerialMatch(/ready in \d+ ms/).name) // onSerialMatch(/ready in \d+ ms/)
 * ```
 */
export const onSerialMatch = (pattern: string | RegExp, options: SerialMatchOptions = {}): Policy => {
  const port = requireOptions("onSerialMatch", options, ["port"]).port ?? 0
  if (!Number.isSafeInteger(port) || port < 0) refuse("onSerialMatch.port", "the number of a serial port", port)
  requirePattern("onSerialMatch.pattern", pattern)
  const words = typeof pattern === "string" ? JSON.stringify(pattern) : String(pattern)
  return eventPolicy({
    name: `onSerialMatch(${words})`,
    description: {
      trigger: "onSerialMatch",
      ...(typeof pattern === "string" ? { text: pattern } : { regex: pattern.source, flags: pattern.flags }),
      ...(port === 0 ? {} : { port })
    },
    kinds: ["SerialLine"],
    waitedFor: `a line with ${words} on ${port === 0 ? "the console" : `serial port ${port}`}`,
    accepts: serialMatcher("onSerialMatch", pattern, port)
  })
}

/** Whether an event that has the text of a port matches; `what` names the constructor. */
export const serialMatcher = (
  what: string,
  pattern: string | RegExp,
  port: number
): ((event: GuestEvent) => boolean) => {
  const finds = typeof pattern === "string" ? (text: string) => text.includes(pattern) : linearPattern(what, pattern)
  return (event) => {
    const line = event as GuestEventOf<"SerialLine">
    return line.port === port && finds(line.text)
  }
}

/** Refuses what is neither a text nor a regular expression. */
export const requirePattern = (what: string, pattern: unknown): void => {
  if (typeof pattern !== "string" && !(pattern instanceof RegExp))
    refuse(what, "a text or a regular expression", pattern)
}
