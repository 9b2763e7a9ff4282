import { requireOptions } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { eventPolicy } from "./onEvent.ts"
import { requirePattern, type SerialMatchOptions, serialMatcher } from "./onSerialMatch.ts"

/**
 * Fires when text on a serial port matches, whether its line has ended or not:
 * `onSerialText(p)(a) = min { e.at | e after a, e is SerialText or SerialLine on the port, p occurs in e.text }`.
 *
 * For prompts: `login: ` waits without a newline, and is told as `SerialText` once nothing has followed for 20 ms of guest time.
 * A string matches where it occurs in the text; a regular expression where it finds something, with the limits of
 * `onSerialMatch`.
 *
 * - *Same instant*: of several events, the one with the lowest `seq`.
 * - *Already true at arming*: text that was told at or before the arming does not count; the line that it begins does, when it ends.
 * - *Guest ends first*: never fires; what was begun is told as its last line.
 *
 * @example
 * ```ts
 * import { onSerialText } from "@stillpoint/triggers"
 *
 * console.log(onSerialText("login: ").name) // onSerialText("login: ")
 * ```
 */
export const onSerialText = (pattern: string | RegExp, options: SerialMatchOptions = {}): Policy => {
  const port = requireOptions("onSerialText", options, ["port"]).port ?? 0
  if (!Number.isSafeInteger(port) || port < 0) refuse("onSerialText.port", "the number of a serial port", port)
  requirePattern("onSerialText.pattern", pattern)
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
    accepts: serialMatcher("onSerialText", pattern, port)
  })
}
