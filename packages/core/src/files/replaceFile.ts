import { dirname } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, MakeOptions } from "./DurableFilesShape.ts"
import type { FileFault } from "./FileErrors.ts"

/** Puts a file at `path`, in the place of one that stands there: the old one or the new one, whole, after a crash at any moment. */
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
