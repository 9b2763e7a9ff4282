/**
 * A snapshot and those it was taken against, followed from the newest to the full one.
 *
 * @module
 */
import { dirname, relative, resolve } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import type { Manifest, ParentReference } from "./Manifest.ts"
import { ParentCyclic, ParentMismatch, ParentRefused, type SnapshotRefusal } from "./SnapshotErrors.ts"

/**
 * A delta's reference from `target` to its parent: relative, so that a folder of snapshots can be
 * moved.
 */
export const referenceTo = (
  parent: { readonly directory: string; readonly manifest: Manifest },
  target: string
): ParentReference => ({
  directory: relative(dirname(target), parent.directory),
  digest: parent.manifest.digest
})

/**
 * The ancestors of a snapshot, nearest first; `verify` reads and checks each, and each must be the very
 * snapshot that its child names.
 */
export const followChain = Effect.fnUntraced(function* (
  files: DurableFilesShape,
  directory: string,
  manifest: Manifest,
  verify: (directory: string) => Effect.Effect<Manifest, SnapshotRefusal>
) {
  const parents: Array<{ readonly directory: string; readonly manifest: Manifest }> = []
  let child = { directory, manifest }
  while (child.manifest.parent !== null) {
    const { digest, directory: path } = child.manifest.parent
    // Its real path: folders in between may be links.
    const parent = yield* files.resolve(resolve(dirname(child.directory), path))
    if (parent === directory || parents.some((each) => each.directory === parent)) {
      return yield* new ParentCyclic({ path: child.directory, parent })
    }
    const found = yield* verify(parent).pipe(
      Effect.mapError((cause) => new ParentRefused({ path: child.directory, parent, cause }))
    )
    if (found.digest !== digest) {
      return yield* new ParentMismatch({ path: child.directory, parent, expected: digest, found: found.digest })
    }
    child = { directory: parent, manifest: found }
    parents.push(child)
  }
  return parents
})
