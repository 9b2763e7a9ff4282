/**
 * Files of the host that are written as their bytes come.
 *
 * @module
 */
import * as Fs from "node:fs/promises"
import { dirname } from "node:path"
import { Effect, Stream } from "effect"
import type { FileFault } from "./FileErrors.ts"
import { attempt, hostFiles } from "./hostFiles.ts"

/**
 * Writes a file as its bytes come, whole or not at all: it appears, or takes the place of what is there, by one rename once all of it
 * is on the disk. A failure of the bytes ends it and leaves nothing. How many bytes it has.
 *
 * @example
 * ```ts
 * import { writeWhole } from "@stillpoint/core"
 * import { Effect, Stream } from "effect"
 *
 * const nowhere = Effect.flip(writeWhole("/dev/null/report", Stream.make(new Uint8Array(8))))
 * console.log((await Effect.runPromise(nowhere)).message) // write of /dev/null/report failed: ENOTDIR
 * ```
 */
export const writeWhole = <E, R>(
  path: string,
  content: Stream.Stream<Uint8Array, E, R>,
  { mode = 0o666 }: { readonly mode?: number } = {}
): Effect.Effect<number, E | FileFault, R> =>
  Effect.gen(function* () {
    const draft = `${path}.${yield* hostFiles.uniqueName}.partial`
    const writing = <A>(work: () => Promise<A>) => attempt("write", path, work)
    const sizeBytes = yield* Effect.acquireUseRelease(
      writing(() => Fs.open(draft, "wx", mode)),
      (file) =>
        Effect.gen(function* () {
          let written = 0
          yield* Stream.runForEach(content, (bytes) => {
            written += bytes.length
            return writing(() => file.writeFile(bytes))
          })
          yield* writing(() => file.sync())
          yield* writing(() => Fs.rename(draft, path))
          return written
        }),
      (file) =>
        Effect.promise(async () => {
          await file.close()
          // Nothing, if it has become the file.
          await Fs.rm(draft, { force: true })
        })
    )
    yield* hostFiles.flushDirectory(dirname(path))
    return sizeBytes
  })
