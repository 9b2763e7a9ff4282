import { dirname } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, MakeOptions } from "./DurableFilesShape.ts"
import { FileFault } from "./FileErrors.ts"

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
    const found = yield* files.inspect(path)
    // A link may lead to a directory; a file never does.
    if (found?.kind === "file") return yield* new FileFault({ operation: "makeDirectory", path, code: "ENOTDIR" })
    if (found !== null) return
    const parent = dirname(path)
    if (parent !== path) yield* makeDirectories(files, parent, options)
    if (!(yield* files.makeDirectory(path, options))) return
    yield* Effect.tapError(files.flushDirectory(parent), () => Effect.ignore(files.removeEmptyDirectory(path)))
  })
