/**
 * From a snapshot of the store to one streamed archive.
 *
 * @module
 */
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { join } from "node:path"
import { pipeline } from "node:stream/promises"
import { codeOf, encodeManifest, encodeValidation, FileFault, Snapshots, writeWhole } from "@stillpoint/core"
import { Effect, Schema, Stream } from "effect"
import { pack, type Pack } from "tar-stream"
import { checkedOptions, Path } from "../sandbox/checkedOptions.ts"
import { imageFileOf, imageOf } from "../sandbox/imageSpec.ts"
import { ExportOfDelta } from "./ExportOfDelta.ts"
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

  /** The archive as it is written; its bytes end in an error where one of the snapshot's cannot be read. */
  const begin = (signal: AbortSignal) => {
    const archive = pack()
    // Its end is told by who reads it; where nobody has begun to, it is nobody's error.
    archive.on("error", () => undefined)
    const written = write(archive, signal)
    written.catch((cause: unknown) => archive.destroy(cause instanceof Error ? cause : new Error(String(cause))))
    return { archive, written }
  }
  const failed = (cause: unknown) => new FileFault({ operation: "export", path, code: codeOf(cause) })

  const sizeBytes = yield* path === "-"
    ? Effect.tryPromise({
        try: async (signal) => {
          const { archive, written } = begin(signal)
          const [size] = await Promise.all([written, pipeline(archive, process.stdout, { end: false, signal })])
          return size
        },
        catch: failed
      })
    : Effect.gen(function* () {
        const stop = new AbortController()
        const { archive, written } = begin(stop.signal)
        yield* writeWhole(path, Stream.fromAsyncIterable(archive as AsyncIterable<Uint8Array>, failed), {
          mode: 0o600
        }).pipe(Effect.onError(() => Effect.sync(() => stop.abort())))
        return yield* Effect.tryPromise({ try: () => written, catch: failed })
      })
  return { digest: manifest.digest, path, sizeBytes } satisfies Exported
})
