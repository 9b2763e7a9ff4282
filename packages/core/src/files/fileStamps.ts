/**
 * Whether files are still those that were read, by what the file system notes of each change.
 *
 * @module
 */
import { lstatSync, realpathSync } from "node:fs"
import type { FilesStamp } from "./DurableFilesShape.ts"

/**
 * The stamp of the files at `read`, of those at `inspected` but their times, and of where the links of `followed` lead; `null` if it
 * cannot be had.
 *
 * Without a turn of the event loop: it stands in the way of every clone, and some ten inodes that were read before take less time
 * than one turn.
 */
export const stampOf = (
  followed: ReadonlyArray<string>,
  read: ReadonlyArray<string>,
  inspected: ReadonlyArray<string>
): FilesStamp | null => {
  try {
    const parts = followed.map((path) => realpathSync.native(path))
    let newestNanos = 0n
    for (const path of read) {
      const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
      if (found === undefined) {
        parts.push("nothing")
        continue
      }
      const { ctimeNs, dev, ino, mode, mtimeNs, size, uid } = found
      parts.push([dev, ino, mode, uid, size, mtimeNs, ctimeNs].join(":"))
      if (ctimeNs > newestNanos) newestNanos = ctimeNs
    }
    for (const path of inspected) {
      const found = lstatSync(path, { bigint: true, throwIfNoEntry: false })
      parts.push(found === undefined ? "nothing" : [found.dev, found.ino, found.mode, found.uid, found.size].join(":"))
    }
    return { text: parts.join("\n"), ageMillis: Date.now() - Number(newestNanos / 1_000_000n) }
  } catch {
    return null
  }
}
