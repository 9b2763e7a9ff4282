/**
 * The metadata of the kit's files, without their content.
 *
 * A file's seal identifies it and shows every change: its device and inode number, its length and its times, including the time
 * of last change, which no program can set. Another file in its place has another seal, even with the same name, length and
 * modification time.
 *
 * @module
 */
import { Effect } from "effect"
import { stat } from "node:fs/promises"
import { filesAtOnce } from "./KitCache.ts"
import { FileUnusable, KitError } from "./KitError.ts"

/** More than the resolution of any file system clock: a later change shows in the times. */
const settledAfterMillis = 100n

/** Seals of some files by their paths. */
export interface FileSeals {
  readonly byPath: ReadonlyMap<string, string>
  /** Whether a change after the inspection is certain to show. */
  readonly isSettled: boolean
}

/** Looks at files. Links are followed. */
export const sealsOf = (paths: Iterable<string>): Effect.Effect<FileSeals, KitError> =>
  Effect.suspend(() => {
    const latest = BigInt(Date.now()) - settledAfterMillis
    const sealed = (path: string) =>
      Effect.tryPromise({
        try: async () => {
          const { ctimeNs, dev, ino, mtimeNs, size } = await stat(path, { bigint: true })
          const seal = [dev, ino, size, mtimeNs, ctimeNs].join(" ")
          return [path, seal, ctimeNs / 1_000_000n < latest] as const
        },
        catch: (cause) => new KitError({ reason: new FileUnusable({ path, detail: String(cause) }) })
      })
    return Effect.map(Effect.forEach([...paths], sealed, { concurrency: filesAtOnce }), (found) => ({
      byPath: new Map(found.map(([path, seal]) => [path, seal])),
      isSettled: found.every(([, , isSettled]) => isSettled)
    }))
  })
