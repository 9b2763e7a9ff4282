/**
 * Files that verbs write on the host.
 *
 * @module
 */
import { open, rename, rm } from "node:fs/promises"
import { Effect, Schema, Stream } from "effect"
import { codeOf } from "../archive/ArchiveErrors.ts"

/** A file on the host could not be written. */
export class OutputNotWritten extends Schema.TaggedError<OutputNotWritten>()("OutputNotWritten", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.path} could not be written: ${this.code}`
  }
}

/** Writes a file, whole or not at all; one that is there is replaced. How many bytes it has. */
export const writeFileWhole = <E, R>(
  path: string,
  content: Stream.Stream<Uint8Array, E, R>
): Effect.Effect<number, E | OutputNotWritten, R> => {
  const draft = `${path}.${process.pid}.partial`
  const attempt = <A>(work: () => Promise<A>) =>
    Effect.tryPromise({ try: work, catch: (cause) => new OutputNotWritten({ path, code: codeOf(cause) }) })
  return Effect.acquireUseRelease(
    attempt(() => open(draft, "wx", 0o666)),
    (file) =>
      Effect.gen(function* () {
        let sizeBytes = 0
        yield* Stream.runForEach(content, (bytes) => {
          sizeBytes += bytes.length
          return attempt(() => file.writeFile(bytes))
        })
        yield* attempt(() => file.sync())
        yield* attempt(() => rename(draft, path))
        return sizeBytes
      }),
    (file) =>
      Effect.promise(async () => {
        await file.close()
        // Nothing, if it has become the file.
        await rm(draft, { force: true })
      })
  )
}
