/**
 * From a snapshot of the store to one streamed archive.
 *
 * @module
 */
import { createReadStream, createWriteStream } from "node:fs"
import { open, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { encodeManifest, encodeValidation, Snapshots } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { pack, type Pack } from "tar-stream"
import { checkedOptions, Path } from "../sandbox/checkedOptions.ts"
import { imageFileOf, imageOf } from "../sandbox/imageSpec.ts"
import { ArchiveFault, codeOf, ExportOfDelta } from "./ArchiveErrors.ts"
import {
  ArchiveHeader,
  archiveVersion,
  fileEntry,
  headerName,
  imageEntry,
  manifestEntry,
  validationEntry
} from "./archiveHeader.ts"

/** What was exported. */
export interface Exported {
  readonly digest: string
  readonly path: string
  /** Bytes of what the archive holds. */
  readonly sizeBytes: number
}

const addBytes = (archive: Pack, name: string, bytes: Uint8Array) =>
  new Promise<void>((done, failed) => {
    archive.entry({ name, size: bytes.byteLength, mode: 0o600 }, Buffer.from(bytes), (error) =>
      error === null || error === undefined ? done() : failed(error)
    )
  })

const addFile = async (archive: Pack, name: string, path: string, size: number, signal: AbortSignal) => {
  await pipeline(createReadStream(path), archive.entry({ name, size, mode: 0o600 }), { signal })
}

/**
 * Writes the snapshot that a reference means to a file, whole or not at all; `-` is standard output. A file that is there is
 * replaced. What is sparse in the snapshot is written as zeros.
 */
export const exportSnapshot = Effect.fn("exportSnapshot")(function* (reference: string, path: string) {
  yield* checkedOptions("exportSnapshot", Schema.Struct({ path: Path }), { path })
  const snapshots = yield* Snapshots
  const { directory, manifest, validation } = yield* snapshots.get(reference, { allowUnvalidated: true })
  if (manifest.parent !== null) return yield* new ExportOfDelta({ reference, parent: manifest.parent.digest })
  const header = yield* Effect.orDie(
    Schema.encodeEffect(ArchiveHeader)({
      format: "stillpoint-archive",
      version: archiveVersion,
      digest: manifest.digest,
      hasValidation: validation !== null,
      image: imageOf(manifest)
    })
  )
  const image = imageFileOf(snapshots.home, manifest)

  const write = async (archive: Pack, signal: AbortSignal): Promise<number> => {
    let sizeBytes = 0
    await addBytes(archive, headerName, new TextEncoder().encode(`${JSON.stringify(header)}\n`))
    await addBytes(archive, manifestEntry, encodeManifest(manifest))
    for (const file of manifest.files) {
      const from = join(directory, manifest.contents, file.name)
      await addFile(archive, fileEntry(file.name), from, file.sizeBytes, signal)
      sizeBytes += file.sizeBytes
    }
    if (validation !== null) await addBytes(archive, validationEntry, encodeValidation(validation))
    if (image !== null) {
      const { size } = await stat(image)
      await addFile(archive, imageEntry, image, size, signal)
      sizeBytes += size
    }
    archive.finalize()
    return sizeBytes
  }

  const toStream = async (sink: NodeJS.WritableStream, end: boolean, signal: AbortSignal): Promise<number> => {
    const archive = pack()
    const [sizeBytes] = await Promise.all([
      write(archive, signal).catch((cause: unknown) => {
        archive.destroy(cause instanceof Error ? cause : new Error(String(cause)))
        throw cause
      }),
      pipeline(archive, sink, { end, signal })
    ])
    return sizeBytes
  }

  const draft = `${path}.${process.pid}.partial`
  const sizeBytes = yield* Effect.tryPromise({
    try: async (signal) => {
      if (path === "-") return await toStream(process.stdout, false, signal)
      try {
        const written = await toStream(createWriteStream(draft, { mode: 0o600, flags: "wx" }), true, signal)
        const handle = await open(draft, "r")
        await handle.sync().finally(() => handle.close())
        await rename(draft, path)
        return written
      } catch (cause) {
        await rm(draft, { force: true })
        throw cause
      }
    },
    catch: (cause) => new ArchiveFault({ operation: "export to", path, code: codeOf(cause) })
  })
  return { digest: manifest.digest, path, sizeBytes } satisfies Exported
})
