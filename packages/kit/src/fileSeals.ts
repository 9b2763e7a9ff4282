/**
 * The kit's files as they stand, without their content.
 *
 * A file's seal says which one it is and that nobody has done anything to it since: its device and number, its length and its times,
 * that of its last change of any kind among them, which no program can set. Another file in its place, whatever its name, length and
 * time of modification, has another seal.
 *
 * @module
 */
import { Effect } from "effect"
import { stat } from "node:fs/promises"
import { filesAtOnce } from "./KitCache.ts"
import { FileUnusable, KitError } from "./KitError.ts"

/** More than the step of any clock that files are stamped with: what is done to one later than this shows in its times. */
const settledAfterMillis = 100n

/** Seals of some files by their paths. */
export interface FileSeals {
  readonly byPath: ReadonlyMap<string, string>
  /** Whether a change that comes after the look is sure to show. */
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
