import type { GuestEvent, GuestEventOf } from "@stillpoint/core"
import { optional, requireAll, requireOptions, requireSerialPort } from "../argument.ts"
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
 * console can fire it. Expressions find what they find in JavaScript, in linear time: look-around, back references, counts above 1,000,
 * escapes that JavaScript takes for a letter, as `\A` and `\z`, and whatever needs an automaton of more than 500 steps, as `(a?){300}`
 * does, are refused with a `PolicyError`. A prompt, which has no newline, is no line: for that there is `onSerialText`.
 *
 * - *Long lines*: a line of more than 4,096 bytes comes in pieces, and each is looked at by itself; what spans two is not found.
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
  const { finds, port } = requireSerialMatch("onSerialMatch", pattern, options)
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
    accepts: saysOn(port, finds)
  })
}

/** What is looked for, and on which port; `what` names the constructor. */
export const requireSerialMatch = (
  what: string,
  pattern: unknown,
  options: SerialMatchOptions
): { readonly finds: (text: string) => boolean; readonly port: number } => {
  const {
    finds,
    read: { port = 0 }
  } = requireAll({
    finds: () => finderOf(what, pattern),
    read: () => requireOptions(what, options, { port: optional(requireSerialPort) })
  })
  return { finds, port }
}

const finderOf = (what: string, pattern: unknown): ((text: string) => boolean) => {
  if (typeof pattern === "string") return (text) => text.includes(pattern)
  return pattern instanceof RegExp
    ? linearPattern(what, pattern)
    : refuse(`${what}.pattern`, "a text or a regular expression", pattern)
}

/** Whether an event that has the text of a port is of this one, and something is found in it. */
export const saysOn =
  (port: number, finds: (text: string) => boolean) =>
  (event: GuestEvent): boolean => {
    const line = event as GuestEventOf<"SerialLine">
    return line.port === port && finds(line.text)
  }
