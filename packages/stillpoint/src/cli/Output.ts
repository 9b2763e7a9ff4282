/**
 * Where the command line writes: results to standard output, everything else to standard error.
 *
 * @module
 */
import { Effect } from "effect"

/** Writes bytes and waits until they are taken, at the pace of who reads. */
export const write = (stream: NodeJS.WriteStream, bytes: Uint8Array | string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    // What comes after the other end was closed goes nowhere; the program ends by the stream's own event.
    if (stream.destroyed || bytes.length === 0) resume(Effect.void)
    else stream.write(bytes, () => resume(Effect.void))
  })

/** A line for people. */
export const say = (line: string): Effect.Effect<void> => write(process.stdout, `${line}\n`)

/** A line beside the results. */
export const note = (line: string): Effect.Effect<void> => write(process.stderr, `${line}\n`)

/** The result of a command: as one line of JSON, and nothing else on standard output, or in words. */
export const answer = (json: boolean, value: unknown, words: ReadonlyArray<string>): Effect.Effect<void> =>
  json ? say(JSON.stringify(value)) : words.length === 0 ? Effect.void : say(words.join("\n"))

/** Columns, as wide as what is in them. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
}
