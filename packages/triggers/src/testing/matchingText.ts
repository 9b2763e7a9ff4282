/**
 * Texts that a pattern matches.
 *
 * @module
 */
import * as fc from "fast-check"
import { refuse } from "../PolicyError.ts"

/**
 * A pattern without looking round: what must stand there is written out, what must not is left out, as are the edges of words. Most
 * of its texts match the pattern, too.
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
 * Texts that a pattern matches, or, where it looks round, most of which it does. Refuses one that texts cannot be made of. What
 * overlooks the case of letters matches those of its own case.
 */
export const matchingText = ({ flags, source }: RegExp): fc.Arbitrary<string> => {
  try {
    return fc.stringMatching(new RegExp(withoutLookaround(source), flags.replace(/[^msu]/g, "")))
  } catch {
    return refuse("hears.text", "a pattern that texts can be made of, without references to its groups", source)
  }
}
