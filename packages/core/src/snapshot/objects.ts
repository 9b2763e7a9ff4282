/**
 * The objects of a store's snapshots: files of chunks, of which each is a file of every snapshot that needs it.
 *
 * ```text
 * snapshots/objects/<name>   a hard link to an object of a snapshot beside it
 * ```
 *
 * The folder is a cache of names. Captures look for their chunks there, and link the objects that have them. An object whose only link
 * is there belongs to no snapshot. Nothing is lost with the folder, or where the file system has no hard links: chunks are then written
 * again.
 *
 * @module
 */
import { basename, dirname, join } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape } from "../files/DurableFiles.ts"
import type { CaptureKind } from "../Vmm.ts"
import type { Manifest, ManifestFile } from "./Manifest.ts"
import { contentsOf } from "./verifySnapshot.ts"

/** Name of the folder, beside a store's snapshots. */
const objectsFolderName = "objects"

/** Names of objects. */
const objectForm = /^[0-9a-f]{64}$/

/** Whether a file of a snapshot is an object. */
export const isObject = ({ name, verification }: ManifestFile): boolean =>
  verification.kind === "byChunk" && objectForm.test(name)

/** Names of the directories in which a store's snapshots are made. */
export const draftForm = /^new-[0-9a-f]{32}$/

/** The folder that a capture for `target` may share objects of: the one of the store in which the snapshot is made. */
export const sharingFor = (files: DurableFilesShape, target: string): Effect.Effect<Pick<CaptureKind, "shared">> => {
  if (!draftForm.test(basename(target))) return Effect.succeed({})
  const shared = join(dirname(target), objectsFolderName)
  return files.inspect(shared).pipe(
    Effect.map((found) => (found?.kind === "directory" ? { shared } : {})),
    Effect.orElseSucceed(() => ({}))
  )
}

/** The folder of objects beside a store's snapshots. */
export const makeObjects = (files: DurableFilesShape, snapshots: string) => {
  const folder = join(snapshots, objectsFolderName)

  /** Makes the folder, so that captures share. */
  const made = Effect.ignore(files.makeDirectory(folder))

  /** Links the objects of a kept snapshot there. One that cannot be linked, or whose name is taken, is not shared. */
  const added = Effect.fnUntraced(function* (directory: string, manifest: Manifest) {
    // No other snapshot can share what is encrypted with keys of its own.
    if (manifest.encryption !== undefined) return
    const contents = contentsOf(directory, manifest)
    for (const { name } of manifest.files.filter(isObject)) {
      yield* Effect.ignore(files.link(join(contents, name), join(folder, name)))
    }
  })

  const clearedOf = Effect.fnUntraced(function* (names: ReadonlyArray<string>) {
    for (const name of names) {
      if (!objectForm.test(name)) continue
      const path = join(folder, name)
      const found = yield* files.inspect(path)
      // A capture that links it now keeps it; then only its name here is lost, until it is kept.
      if (found?.kind === "file" && found.links === 1) yield* files.removeTree(path)
    }
  })

  /** Removes the objects that no snapshot has. */
  const cleared = Effect.gen(function* () {
    if ((yield* files.inspect(folder))?.kind !== "directory") return
    yield* clearedOf(yield* files.list(folder))
  }).pipe(Effect.ignore)

  /** The same of those that a snapshot had, after its removal. */
  const released = (manifest: Manifest) =>
    Effect.ignore(clearedOf(manifest.files.filter(isObject).map(({ name }) => name)))

  return { made, added, cleared, released }
}
