/**
 * A temporary folder for files of the archive.
 *
 * @module
 */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { FileUnusable, KitError } from "../KitError.ts"

/** A folder of this name's beginning below the system's for temporary files, removed with the scope. */
export const temporaryFolder = (name: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () => mkdtemp(join(tmpdir(), `stillpoint-${name}-`)),
      catch: (cause) => {
        const { code, message } = cause as NodeJS.ErrnoException
        const detail = `no folder can be made in it (${code ?? message}); TMPDIR names another one`
        return new KitError({ reason: new FileUnusable({ path: tmpdir(), detail }) })
      }
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }).catch(() => undefined))
  )
