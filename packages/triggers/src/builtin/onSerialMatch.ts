import type { GuestEvent, GuestEventOf } from "@stillpoint/core"
import { optional, requireAll, requireOptions, requireSerialPort } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { linearPattern } from "./linearPattern.ts"
import { eventPolicy } from "./onEvent.ts"

/** The port to search. */
export interface SerialMatchOptions {
  /** Number of the serial port; 0, the console, if absent. */
  readonly port?: number
}

/**
 * Fires when a line on a serial port matches:
 * `onSerialMatch(p)(a) = min { e.at | e after a, e is SerialLine on the port, p occurs in e.text }`.
 *
 * A string matches anywhere in the line; a regular expression matches where it finds something. Any program that can write to the
 * console can fire it. Expressions match as in JavaScript, in linear time. Look-around, back references, counts above 1,000,
 * escapes that JavaScript reads as a letter, such as `\A` and `\z`, and expressions that need an automaton of more than 500
 * steps, such as `(a?){300}`, are refused with a `PolicyError`. A prompt has no newline and is not a line: use `onSerialText` for
 * it.
 *
 * - *Long lines*: a line of more than 4,096 bytes comes in pieces, each of which is searched separately; a match across two is
 *   not found.
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

/** The pattern and the port; `what` names the constructor. */
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

/** Whether an event with text is from this port, and its text matches. */
export const saysOn =
  (port: number, finds: (text: string) => boolean) =>
  (event: GuestEvent): boolean => {
    const line = event as GuestEventOf<"SerialLine">
    return line.port === port && finds(line.text)
  }
