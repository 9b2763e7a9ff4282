/**
 * Text of others in an account: shown so that it cannot be taken for the account's own words, or for another line of it.
 *
 * @module
 */

/** Characters that begin a line, hide text, change its direction, or cannot be displayed. */
const unsafe = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu

const escaped = (character: string): string => {
  const short = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character]
  return short ?? `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

/** The longest text of a guest that an account shows. */
const longestShown = 120

/** Names and messages of the host, on one line. */
export const oneLine = (text: string): string => text.replace(unsafe, escaped)

/**
 * Text from a guest: in quotation marks, escaped, and shortened if it is long; an ellipsis after the closing mark shows that.
 */
export const quoted = (text: string): string => {
  // By characters, not by their halves.
  const shown = Array.from(text.slice(0, 2 * longestShown))
    .slice(0, longestShown)
    .join("")
  const isCut = shown.length < text.length
  return `"${shown.replace(/["\\]/g, (character) => `\\${character}`).replace(unsafe, escaped)}"${isCut ? "…" : ""}`
}

/** A word of a guest: as it is where it is plain, else {@link quoted}. */
export const wordOf = (text: string): string => (/^[\w./:@%+=-]{1,80}$/.test(text) ? text : quoted(text))
