/**
 * From a snapshot of the store to a registry.
 *
 * @module
 */
import { chmod, mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { codeOf, FileFault, type Manifest, sha256, Snapshots } from "@stillpoint/core"
import { Artifacts, type TransferOptions } from "@stillpoint/images"
import { Effect, Schema } from "effect"
import { checkedOptions, Path, Watching } from "../sandbox/checkedOptions.ts"
import { imageFileOf, imageOf } from "../sandbox/imageSpec.ts"
import {
  ArtifactManifest,
  ArtifactRecord,
  artifactType,
  fileOf,
  imageFile,
  manifestOf,
  manifestType,
  pieceType,
  type RecordFile,
  recordFile,
  recordType,
  recordVersion,
  signaturesOf,
  validationOf
} from "./artifactRecord.ts"
import { cutFile, placed } from "./pieces.ts"

/** What a push did. */
export interface PushedSnapshot {
  /** Digest of the snapshot. */
  readonly snapshot: string
  /** Where it is now. */
  readonly reference: string
  /** Digest of the artifact, by which it can be pulled, too. */
  readonly artifact: string
  /** How many snapshots it is: itself, and what it was taken against. */
  readonly snapshots: number
  /** Bytes of all its pieces, and of those that travelled. */
  readonly sizeBytes: number
  readonly sentBytes: number
}

const Asked = Schema.Struct({ reference: Path, options: Watching })

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false
  )

/** Where each file of one snapshot stands, by its path in the artifact. */
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

/**
 * Puts the snapshot that a reference means into a registry, with everything that it was taken against: `docker://HOST/NAME[:TAG]`. Only
 * pieces that the registry has not got travel; cut and begun again, it goes on with those. The tag means the snapshot when all is there,
 * and what it meant before until then. Its memory goes as it is: who can pull it can read it.
 */
export const pushSnapshot = Effect.fn("pushSnapshot")(function* (
  snapshot: string,
  reference: string,
  options: TransferOptions = {}
) {
  yield* checkedOptions("pushSnapshot", Asked, { reference, options })
  const snapshots = yield* Snapshots
  const artifacts = yield* Artifacts
  const fault = (cause: unknown) => new FileFault({ operation: "push", path: reference, code: codeOf(cause) })
  const own = yield* snapshots.get(snapshot, { allowUnvalidated: true })
  const lineage = [own]
  for (let { parent } = own.manifest; parent !== null;) {
    const next = yield* snapshots.get(parent.digest, { allowUnvalidated: true })
    lineage.push(next)
    parent = next.manifest.parent
  }
  const image = imageFileOf(snapshots.home, own.manifest)
  const folder = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const path = await mkdtemp(join(tmpdir(), "stillpoint-push-"))
        await chmod(path, 0o700)
        return path
      },
      catch: fault
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const where = new Map<string, string>()
  const cut = yield* Effect.tryPromise({
    try: async (signal) => {
      for (const { directory, manifest } of lineage) {
        for (const [path, file] of await filesOf(directory, manifest)) where.set(path, file)
      }
      if (image !== null) where.set(imageFile, image)
      const files: Array<RecordFile> = []
      for (const [path, file] of where) files.push(await cutFile(path, file, signal))
      return files
    },
    catch: fault
  })
  const encoded = yield* Effect.orDie(
    Schema.encodeEffect(ArtifactRecord)({
      format: "stillpoint-artifact",
      version: recordVersion,
      snapshots: lineage.map(({ manifest }) => manifest.digest),
      image: imageOf(own.manifest),
      files: cut
    })
  )
  const recordPath = join(folder, recordFile)
  const recordBytes = new TextEncoder().encode(`${JSON.stringify(encoded)}\n`)
  yield* Effect.tryPromise({ try: () => writeFile(recordPath, recordBytes, { mode: 0o600 }), catch: fault })
  const record = {
    digest: `sha256:${sha256(recordBytes)}`,
    size: recordBytes.byteLength,
    places: [{ file: recordPath, offset: 0 }]
  }
  const pieces = placed(cut, (path) => where.get(path) ?? path)
  const manifest = yield* Effect.orDie(
    Schema.encodeEffect(ArtifactManifest)({
      schemaVersion: 2,
      mediaType: manifestType,
      artifactType,
      config: { mediaType: recordType, digest: record.digest, size: record.size },
      layers: pieces.map(({ digest, size }) => ({ mediaType: pieceType, digest, size }))
    })
  )
  const bytes = new TextEncoder().encode(JSON.stringify(manifest))
  const sent = [...pieces, record]
  const pushed = yield* artifacts.push(reference, { pieces: sent, manifest: bytes, mediaType: manifestType }, options)
  return {
    snapshot: own.manifest.digest,
    reference,
    artifact: pushed.digest,
    snapshots: lineage.length,
    sizeBytes: sent.reduce((sum, { size }) => sum + size, 0),
    sentBytes: pushed.sentBytes
  } satisfies PushedSnapshot
}, Effect.scoped)
