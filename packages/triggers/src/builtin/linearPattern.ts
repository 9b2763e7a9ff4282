/**
 * Regular expressions that are matched in time that is linear in the text, whatever they are.
 *
 * @module
 */
import { RE2JS } from "re2js"
import { refuse } from "../PolicyError.ts"

/** Flags that say how to search, and nothing about what is found somewhere. */
const withoutMeaning = /[dgyu]/g

const flagOf: Readonly<Record<string, number>> = { i: RE2JS.CASE_INSENSITIVE, m: RE2JS.MULTILINE, s: RE2JS.DOTALL }

/**
 * Whether an expression finds something in a text: by an automaton (RE2), without going back, as text of a guest must not be able to
 * stop the host.
 *
 * What no automaton can match is refused: `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`, back references such as `\1`, counts above 1,000,
 * the flag `v`. `\d`, `\w`, `\s` and `\b` are of ASCII; characters are code points. `what` names the constructor in the
 * `PolicyError`.
 */
export const linearPattern = (what: string, { flags, source }: RegExp): ((text: string) => boolean) => {
  const meant = flags.replace(withoutMeaning, "")
  const unknown = [...meant].filter((flag) => flagOf[flag] === undefined)
  if (unknown.length > 0) refuse(`${what}.flags`, "flags among d, g, i, m, s, u and y", unknown.join(""))
  const compile = (): RE2JS => {
    try {
      return RE2JS.compile(
        RE2JS.translateRegExp(source),
        [...meant].reduce((sum, flag) => sum | (flagOf[flag] ?? 0), 0)
      )
    } catch (cause) {
      return refuse(
        `${what}.pattern`,
        "a regular expression that is matched in linear time: without look-around, back references and counts above 1,000",
        `/${source}/${flags}: ${cause instanceof Error ? cause.message : String(cause)}`
      )
    }
  }
  const compiled = compile()
  return (text) => compiled.matcher(text).find()
}
