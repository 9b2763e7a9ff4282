/**
 * References to a snapshot in a store.
 *
 * ```text
 * reference = NAME [ ":" TAG ] | "sha256:" HEX | 64 digits of HEX
 * NAME, TAG = lower-case letters, digits, and "." "_" "-" within; 1 to 100 characters; NAME is not "sha256"
 * HEX       = the digest of its manifest, or as much of its beginning as no other has: 8 digits or more
 * ```
 *
 * A name without a tag has the tag `latest`.
 *
 * @module
 */
import { Result, Schema } from "effect"
import { describeValue } from "../describeValue.ts"

/** The default tag of a name. */
export const usualTag = "latest"

/** A parsed reference to a snapshot. */
export type Reference =
  | { readonly _tag: "Named"; readonly name: string; readonly tag: string }
  | { readonly _tag: "Digest"; readonly digest: string }

/** A string is not a valid reference or name. */
export class ReferenceInvalid extends Schema.TaggedError<ReferenceInvalid>()("ReferenceInvalid", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected ${this.expected}, found ${this.found}`
  }
}

const word = /^[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?$/
const wholeDigest = /^[0-9a-f]{64}$/
const partOfDigest = /^[0-9a-f]{8,64}$/

const nameForm = "NAME or NAME:TAG (lower-case letters, digits, and . _ - within)"

const invalid = (expected: string, found: unknown) =>
  Result.fail(new ReferenceInvalid({ expected, found: describeValue(found) }))

/**
 * Parses `name`, `name:tag` or a digest.
 *
 * @example
 * ```ts
 * import { parseReference } from "@stillpoint/core"
 * import { Result } from "effect"
 *
 * console.log(Result.getOrThrow(parseReference("web"))) // { _tag: 'Named', name: 'web', tag: 'latest' }
 * console.log(Result.isFailure(parseReference("../web"))) // true
 * ```
 */
export const parseReference = (text: string): Result.Result<Reference, ReferenceInvalid> => {
  if (typeof text !== "string") return invalid(`${nameForm}, or a digest`, text)
  if (wholeDigest.test(text)) return Result.succeed({ _tag: "Digest", digest: text })
  if (text.startsWith("sha256:")) {
    const digest = text.slice("sha256:".length)
    return partOfDigest.test(digest)
      ? Result.succeed({ _tag: "Digest", digest })
      : invalid("8 to 64 lower-case hexadecimal digits after sha256:", text)
  }
  return parseName(text)
}

/** The repository of snapshots that are made again on demand. Nobody gives a name in it, and no message suggests one. */
export const cacheRepository = "cache"

/** Parses `name` or `name:tag`, the forms of a name that a snapshot can have. */
export const parseName = (text: string): Result.Result<Extract<Reference, { _tag: "Named" }>, ReferenceInvalid> => {
  if (typeof text !== "string") return invalid(nameForm, text)
  const [name = "", tag = usualTag, ...more] = text.split(":")
  return word.test(name) && word.test(tag) && more.length === 0 && name !== "sha256" && !wholeDigest.test(name)
    ? Result.succeed({ _tag: "Named", name, tag })
    : invalid(nameForm, text)
}

/** Formats a name and its tag; the default tag is left out. */
export const printName = (name: string, tag: string): string => (tag === usualTag ? name : `${name}:${tag}`)
