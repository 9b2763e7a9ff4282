/**
 * The folder for files of tests: snapshots, images, journals.
 *
 * @module
 */
import { chmodSync, mkdirSync, mkdtempSync, statfsSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Disk space that parallel tests need at once, with a margin: captured guests of 128 MiB, images of 300 MB. */
export const neededBytes = 4 * 2 ** 30

/** A folder for what tests write, made for this and to be removed afterwards; and why it is not in the system's, if it is not. */
export interface Scratch {
  readonly directory: string
  readonly why: string
}

/** A folder for everybody, as the system's is: some tests are other users. */
const folderIn = (parent: string, name: string): string => {
  const directory = mkdtempSync(join(parent, name))
  chmodSync(directory, 0o1777)
  return directory
}

/** A folder in the system's temporary one if that has room, else in one of this repository's own. */
export const scratchIn = (cache: string, needed = neededBytes): Scratch => {
  const system = tmpdir()
  const { bavail, bsize } = statfsSync(system)
  const free = bavail * bsize
  if (free >= needed) return { directory: folderIn(system, "stillpoint-tests-"), why: "" }
  mkdirSync(cache, { recursive: true })
  const mib = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`
  return {
    directory: folderIn(cache, "scratch-"),
    why: `${system} has ${mib(free)} left of the ${mib(needed)} that tests may need`
  }
}
