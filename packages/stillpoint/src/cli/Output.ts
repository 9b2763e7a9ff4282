/**
 * Where the command line writes: results to standard output, everything else to standard error.
 *
 * @module
 */
import { Effect } from "effect"

/** Writes bytes and waits until the reader has taken them. */
export const write = (stream: NodeJS.WriteStream, bytes: Uint8Array | string): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    // Once the reader has closed the stream, output is discarded; the stream's own event ends the
    // program.
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

/** Rows as columns, each as wide as its content. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd()
  )
}
