/**
 * Finding an object of a snapshot, for tests that damage it.
 *
 * @module
 */
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"

/** Path of the largest object in a directory of a snapshot's files (`Snapshot.layers`). */
export const objectIn = (directory: string): string => {
  const objects = readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name))
  const [largest = "none"] = objects
    .map((name) => join(directory, name))
    .toSorted((one, other) => statSync(other).size - statSync(one).size)
  return largest
}
