import { Result } from "effect"

/** Maximum nesting of JSON that is read or written: far above real documents, far below the limit of the stack. */
export const mostJsonLevels = 256

const quote = 0x22
const backslash = 0x5c

/** The nesting depth of a JSON text, counted up to one more than {@link mostJsonLevels}. */
const levelsOfText = (text: string): number => {
  let level = 0
  let deepest = 0
  let isInString = false
  for (let at = 0; at < text.length && deepest <= mostJsonLevels; at++) {
    const unit = text.charCodeAt(at)
    if (isInString) {
      if (unit === backslash) at += 1
      else if (unit === quote) isInString = false
    } else if (unit === quote) isInString = true
    else if (unit === 0x5b || unit === 0x7b) deepest = Math.max(deepest, ++level)
    else if (unit === 0x5d || unit === 0x7d) level -= 1
  }
  return deepest
}

/** Parses JSON that may be anything; says why not. */
export const parseBoundedJson = (text: string): Result.Result<unknown, string> => {
  if (text.length === 0) return Result.fail("the file is empty")
  if (levelsOfText(text) > mostJsonLevels) return Result.fail(`it is nested deeper than ${mostJsonLevels} levels`)
  return Result.try({ try: (): unknown => JSON.parse(text), catch: String })
}

/** Whether a value nests too deep to be written. Never recurses. */
export const isTooDeep = (value: unknown): boolean => {
  let level: Array<unknown> = [value]
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > mostJsonLevels) return true
    level = level.flatMap((item) => (typeof item === "object" && item !== null ? Object.values(item) : []))
  }
  return false
}
