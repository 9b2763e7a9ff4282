/**
 * The files of a snapshot and of all its ancestors, as they are sent.
 *
 * @module
 */
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { type Manifest, Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { imageFileOf, imageOf } from "../sandbox/imageSpec.ts"
import { cutFile } from "./pieces.ts"
import { fileOf, imageFile, manifestOf, type RecordFile, signaturesOf, validationOf } from "./transferRecord.ts"

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false
  )

/** The path of each file of one snapshot, by its path in the artifact. */
const filesOf = async (directory: string, manifest: Manifest): Promise<ReadonlyMap<string, string>> => {
  const { digest } = manifest
  const contents = join(directory, manifest.contents)
  const files = new Map([[manifestOf(digest), join(directory, "manifest.json")]])
  for (const { name } of manifest.files) files.set(fileOf(digest, name), join(contents, name))
  for (const [path, file] of [
    [validationOf(digest), join(contents, "validation.json")],
    [signaturesOf(digest), join(contents, "signatures.json")]
  ] as const) {
    if (await isThere(file)) files.set(path, file)
  }
  return files
}

/** The snapshot that a reference means with its lineage, cut into pieces, and where each file of the record stands. */
export const sentLineage = Effect.fnUntraced(function* <Fault>(reference: string, failed: (cause: unknown) => Fault) {
  const snapshots = yield* Snapshots
  const own = yield* snapshots.get(reference, { allowUnvalidated: true, allowLocked: true })
  const lineage = [own]
  for (let { parent } = own.manifest; parent !== null;) {
    const next = yield* snapshots.get(parent.digest, { allowUnvalidated: true, allowLocked: true })
    lineage.push(next)
    parent = next.manifest.parent
  }
  const image = imageFileOf(snapshots.home, own.manifest)
  const where = new Map<string, string>()
  const files = yield* Effect.tryPromise({
    try: async (signal) => {
      for (const { directory, manifest } of lineage) {
        for (const [path, file] of await filesOf(directory, manifest)) where.set(path, file)
      }
      if (image !== null) where.set(imageFile, image)
      const cut: Array<RecordFile> = []
      for (const [path, file] of where) cut.push(await cutFile(path, file, signal))
      return cut
    },
    catch: failed
  })
  const digests = lineage.map(({ manifest }) => manifest.digest)
  return {
    digest: own.manifest.digest,
    record: { snapshots: digests, image: imageOf(own.manifest), files },
    where: (path: string): string => where.get(path) ?? path
  }
})
