/**
 * Takes a clear-signed message (RFC 9580, chapter 7) apart into the text that is signed and its signature.
 *
 * ```text
 * -----BEGIN PGP SIGNED MESSAGE-----
 * Hash: SHA256
 *                                        an empty line ends the headers
 * text, lines that start with "-" written as "- -"
 * -----BEGIN PGP SIGNATURE-----
 * …
 * -----END PGP SIGNATURE-----
 * ```
 *
 * Only the returned text is checked and used; text outside the signature is refused, so nothing unsigned
 * can be read as signed.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { Result } from "effect"
import { FormatInvalid } from "../KitError.ts"

/** The two halves of a clear-signed message. */
export interface Clearsigned {
  /** The signed text: lines without trailing blanks, joined by newlines, without a last one. */
  readonly text: string
  /** The armored detached signature of `text`. */
  readonly signature: string
}

const begin = "-----BEGIN PGP SIGNED MESSAGE-----"
const beginSignature = "-----BEGIN PGP SIGNATURE-----"
const endSignature = "-----END PGP SIGNATURE-----"

/**
 * Splits `message`; `source` names it in errors.
 *
 * @example
 * ```ts
 * import { Result } from "effect"
 * import { splitClearsigned } from "@stillpoint/kit"
 *
 * const parts = splitClearsigned("InRelease", "no signature here")
 * console.log(Result.isFailure(parts)) // true
 * ```
 */
export const splitClearsigned = (source: string, message: string): Result.Result<Clearsigned, FormatInvalid> => {
  const refuse = (expected: string, found: string) => Result.fail(new FormatInvalid({ source, expected, found }))
  if (typeof source !== "string" || typeof message !== "string") {
    return Result.fail(new FormatInvalid({ source: describeValue(source), expected: "a text", found: typeof message }))
  }
  const lines = message.split("\n").map((line) => line.replace(/[ \t\r]+$/, ""))
  while (lines.at(-1) === "") lines.pop()
  const headersEnd = lines.indexOf("")
  const signatureAt = lines.indexOf(beginSignature)
  if (lines[0] !== begin) return refuse(`"${begin}" on the first line`, JSON.stringify((lines[0] ?? "").slice(0, 80)))
  if (signatureAt < 0 || headersEnd < 0 || headersEnd > signatureAt) return refuse("a signature after the text", "none")
  if (lines.at(-1) !== endSignature || lines.indexOf(endSignature) !== lines.length - 1) {
    return refuse(`"${endSignature}" on the last line only`, JSON.stringify((lines.at(-1) ?? "").slice(0, 80)))
  }
  if (!lines.slice(1, headersEnd).every((line) => line.startsWith("Hash: "))) {
    return refuse("no header but Hash", "another")
  }
  const body = lines.slice(headersEnd + 1, signatureAt)
  const unescaped = body.map((line) => (line.startsWith("- ") ? line.slice(2) : line))
  if (body.some((line) => line.startsWith("-") && !line.startsWith("- "))) {
    return refuse("every dash at the start of a line escaped", "a bare one")
  }
  return Result.succeed({ text: unescaped.join("\n"), signature: `${lines.slice(signatureAt).join("\n")}\n` })
}
