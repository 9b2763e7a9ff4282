/**
 * Regular expressions that are matched in time linear in the length of the text.
 *
 * @module
 */
import { RE2JS } from "re2js"
import { requireAll } from "../argument.ts"
import { refuse } from "../PolicyError.ts"
import { readPattern } from "./readPattern.ts"

/** Flags that control the search but not whether there is a match. */
const withoutMeaning = /[dgu]/g

const flagOf: Readonly<Record<string, number>> = { i: RE2JS.CASE_INSENSITIVE, m: RE2JS.MULTILINE, s: RE2JS.DOTALL }

/**
 * Steps of the largest automaton: every character of a line may lead through all of them. With as many as this, the slowest
 * expressions that were found take about 0.1 s for a line of 4,096 characters; with ten times as many, several seconds.
 */
const mostSteps = 500

/**
 * Whether an expression matches somewhere in a text. It runs as an automaton (RE2) without backtracking, because text of a guest
 * must not be able to block the host.
 *
 * It matches what JavaScript matches, with two differences: characters are code points, and case folding is Unicode's (`k`
 * matches the kelvin sign too). Refused are expressions that no automaton can match: `(?=…)`, `(?!…)`, `(?<=…)`, `(?<!…)`, back
 * references such as `\1` and `\k<name>`, counts above 1,000, the flag `v`; expressions that RE2 reads differently or not at all:
 * escapes of letters that JavaScript reads as the letter, such as `\A`, `\z` or `\Q`, `(?s:…)`, `[]` and `[^]`; the flag `y`,
 * since a line is searched from its beginning; and expressions whose automaton has more than 500 steps. A character, a class, an
 * alternative or a `?` each add a step, and a count multiplies them, as in `a{600}` or `(a?){300}`. `what` names the constructor
 * in the `PolicyError`.
 */
export const linearPattern = (what: string, { flags, source }: RegExp): ((text: string) => boolean) => {
  const meant = flags.replace(withoutMeaning, "")
  const unknown = [...meant].filter((flag) => flagOf[flag] === undefined)
  const compile = (): RE2JS => {
    const read = readPattern(source, { hasDotAll: meant.includes("s"), isUnicode: flags.includes("u") })
    if ("unread" in read) {
      return refuse(
        `${what}.pattern`,
        "a regular expression without look-around, back references, and escapes of letters that stand for nothing",
        `${read.unread} in /${source}/${flags}`
      )
    }
    try {
      return RE2JS.compile(
        RE2JS.translateRegExp(read.source),
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
  const { compiled } = requireAll({
    flags: () =>
      unknown.length === 0 ||
      refuse(
        `${what}.flags`,
        "flags among d, g, i, m, s and u",
        unknown.includes("y") ? `${unknown.join("")}: say with ^ that it is found at the beginning` : unknown.join("")
      ),
    compiled: () => {
      const compiled = compile()
      const steps = compiled.programSize()
      return steps <= mostSteps
        ? compiled
        : refuse(
            `${what}.pattern`,
            `a regular expression of at most ${mostSteps} steps`,
            `${steps}: lower its counts, or match a shorter part of the line`
          )
    }
  })
  // Only whether, and not where: nothing is remembered of the way.
  return (text) => compiled.test(text)
}
