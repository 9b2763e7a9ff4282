import { dirname } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, MakeOptions } from "./DurableFilesShape.ts"
import type { FileFault } from "./FileErrors.ts"

/** Makes a directory and those missing above it, each durably. */
export const makeDirectories = (
  files: DurableFilesShape,
  path: string,
  options?: MakeOptions
): Effect.Effect<void, FileFault> =>
  Effect.gen(function* () {
    if ((yield* files.inspect(path)) !== null) return
    const parent = dirname(path)
    if (parent !== path) yield* makeDirectories(files, parent, options)
    if (yield* files.makeDirectory(path, options)) yield* files.flushDirectory(parent)
  })
