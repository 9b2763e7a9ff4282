/**
 * What the constructors of triggers are given, looked at before anything is made of it: a program may be written without types.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { refuse, refuseUnknown } from "./PolicyError.ts"

/** A text. */
export const requireText = (what: string, value: unknown): string =>
  typeof value === "string" ? value : refuse(what, "a text", describeValue(value))

/** A function. */
export const requireFunction = <F>(what: string, value: F): F =>
  typeof value === "function" ? value : refuse(what, "a function", describeValue(value))

/** Yes or no, or nothing. */
export const requireFlag = (what: string, value: boolean | undefined): boolean | undefined =>
  value === undefined || typeof value === "boolean" ? value : refuse(what, "true or false", describeValue(value))

/** One of some words, or nothing. */
export const requireWord = <W extends string>(
  what: string,
  value: W | undefined,
  words: ReadonlyArray<W>
): W | undefined =>
  value === undefined || words.includes(value)
    ? value
    : refuse(
        what,
        words.length > 1 ? `${words.slice(0, -1).join(", ")} or ${words.at(-1)}` : String(words[0]),
        describeValue(value)
      )

/** A record, read once: options, or a definition. */
export const requireRecord = <A extends object>(what: string, value: A, kind: string): A => {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    return refuse(what, kind, describeValue(value))
  try {
    return { ...value }
  } catch (cause) {
    return refuse(what, kind, `what cannot be read: ${describeValue(cause)}`)
  }
}

/** Options with no other names than are known, read once. */
export const requireOptions = <A extends object>(what: string, value: A, known: ReadonlyArray<string>): A => {
  // A trigger or an Effect in the place of options: the options were forgotten.
  if (typeof value === "object" && value !== null && "pipe" in value) refuse(what, "options", value)
  const options = requireRecord(what, value, "options")
  refuseUnknown(what, options, known)
  return options
}
