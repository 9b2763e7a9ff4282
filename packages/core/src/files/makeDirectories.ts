import { dirname } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, MakeOptions } from "./DurableFilesShape.ts"
import type { FileFault } from "./FileErrors.ts"

/**
 * Makes a directory and its missing parents, each durably; one that could not be flushed is removed again, so the next caller
 * makes it.
 */
export const makeDirectories = (
  files: DurableFilesShape,
  path: string,
  options?: MakeOptions
): Effect.Effect<void, FileFault> =>
  Effect.gen(function* () {
    if ((yield* files.inspect(path)) !== null) return
    const parent = dirname(path)
    if (parent !== path) yield* makeDirectories(files, parent, options)
    if (!(yield* files.makeDirectory(path, options))) return
    yield* Effect.tapError(files.flushDirectory(parent), () => Effect.ignore(files.removeEmptyDirectory(path)))
  })
