import type { Policy } from "../Policy.ts"
import { eventPolicy } from "./onEvent.ts"
import { requireSerialMatch, saysOn, type SerialMatchOptions } from "./onSerialMatch.ts"

/**
 * Fires when text on a serial port matches, whether its line has ended or not:
 * `onSerialText(p)(a) = min { e.at | e after a, e is SerialText or SerialLine on the port, p occurs in e.text }`.
 *
 * Use it for prompts: `login: ` has no newline, and is reported as `SerialText` once nothing has followed for 20 ms of guest time.
 * A string matches if it occurs in the text, a regular expression if it finds a match, with the limits of
 * `onSerialMatch`.
 *
 * - *Long lines*: a line of more than 4,096 bytes comes in pieces, each of which is searched separately; a match across two is
 *   not found.
 * - *Same instant*: of several events, the one with the lowest `seq`.
 * - *Already true at arming*: text that was reported at or before the arming does not count; the whole line does, when it ends.
 * - *Guest ends first*: never fires; unfinished text is reported as the last line.
 *
 * @example
 * ```ts
 * import { onSerialText } from "@stillpoint/triggers"
 *
 * console.log(onSerialText("login: ").name) // onSerialText("login: ")
 * ```
 */
export const onSerialText = (pattern: string | RegExp, options: SerialMatchOptions = {}): Policy => {
  const { finds, port } = requireSerialMatch("onSerialText", pattern, options)
  const words = typeof pattern === "string" ? JSON.stringify(pattern) : String(pattern)
  return eventPolicy({
    name: `onSerialText(${words})`,
    description: {
      trigger: "onSerialText",
      ...(typeof pattern === "string" ? { text: pattern } : { regex: pattern.source, flags: pattern.flags }),
      ...(port === 0 ? {} : { port })
    },
    kinds: ["SerialText", "SerialLine"],
    waitedFor: `text with ${words} on ${port === 0 ? "the console" : `serial port ${port}`}`,
    accepts: saysOn(port, finds)
  })
}
