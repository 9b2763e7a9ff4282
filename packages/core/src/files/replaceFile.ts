import { dirname } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, MakeOptions } from "./DurableFilesShape.ts"
import type { FileFault } from "./FileErrors.ts"

/** Replaces the file at `path`: after a crash at any moment, the old or the new one is there, complete. */
export const replaceFile = (
  files: DurableFilesShape,
  path: string,
  bytes: Uint8Array,
  options?: MakeOptions
): Effect.Effect<void, FileFault> =>
  Effect.gen(function* () {
    const draft = `${path}.${yield* files.uniqueName}`
    yield* files.write(draft, bytes, options).pipe(
      Effect.andThen(files.flush(draft)),
      Effect.andThen(files.rename(draft, path)),
      Effect.onError(() => Effect.ignore(files.removeTree(draft)))
    )
    yield* files.flushDirectory(dirname(path))
  })
