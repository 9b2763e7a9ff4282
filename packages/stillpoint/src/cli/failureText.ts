/**
 * What the command line says of a failure.
 *
 * @module
 */

/** What a terminal would take for a command, or shows as something else than it is; lines stay lines. */
// oxlint-disable-next-line no-control-regex
const unsafe = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** The message of a failure. Registries, images and guests have their words in it: they say nothing to the terminal. */
export const failureText = (error: unknown): string => {
  const text = error instanceof Error ? error.message : String(error)
  const shown = text.replace(unsafe, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)
  return `stillpoint: ${shown}`
}
