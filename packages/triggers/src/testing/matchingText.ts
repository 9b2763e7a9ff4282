/**
 * Texts that a pattern matches.
 *
 * @module
 */
import * as fc from "fast-check"
import { refuse } from "../PolicyError.ts"

/**
 * A pattern without look-around: required text is written out, forbidden text is left out, as are word boundaries. Most of its
 * texts match the pattern too.
 */
export const withoutLookaround = (source: string): string => {
  const open: Array<string> = []
  return source.replace(
    /\\.|\[(?:\\.|[^\]])*\]|\(\?<?([=!])|\(|\)/gsu,
    (part: string, sign: string | undefined): string => {
      if (part === ")") return open.pop() === "!" ? "){0}" : ")"
      if (!part.startsWith("(")) return /^\\b$/i.test(part) ? "" : part
      open.push(sign ?? "")
      return sign === undefined ? "(" : "(?:"
    }
  )
}

/**
 * Texts that match a pattern, or mostly match it if it has look-around. Refuses a pattern that texts cannot be generated for. For
 * a case-insensitive pattern, texts have its own case.
 */
export const matchingText = ({ flags, source }: RegExp): fc.Arbitrary<string> => {
  try {
    return fc.stringMatching(new RegExp(withoutLookaround(source), flags.replace(/[^msu]/g, "")))
  } catch {
    return refuse("hears.text", "a pattern that texts can be made of, without references to its groups", source)
  }
}
