/**
 * From a snapshot of the store to one streamed archive.
 *
 * @module
 */
import { pipeline } from "node:stream/promises"
import { codeOf, FileFault, writeWhole } from "@stillpoint/core"
import { Effect, Schema, Stream } from "effect"
import { pack, type Pack } from "tar-stream"
import { checkedOptions, Path } from "../sandbox/checkedOptions.ts"
import { LongWorkListener } from "../sandbox/LongWork.ts"
import { orUnfit, readPiece } from "../transfer/pieces.ts"
import { sentLineage } from "../transfer/sentLineage.ts"
import { encodeRecord } from "../transfer/transferRecord.ts"
import { archiveRecord, pieceEntry, piecesOf, recordEntry } from "./archiveEntries.ts"
import { compressed } from "./compression.ts"

/** The result of an export. */
export interface Exported {
  readonly digest: string
  readonly path: string
  /** Number of snapshots in it: the snapshot and its ancestors. */
  readonly snapshots: number
  /** Size of the archive's contents before they are compressed, bytes. */
  readonly sizeBytes: number
}

const addEntry = (archive: Pack, name: string, bytes: Uint8Array, signal: AbortSignal) =>
  new Promise<void>((done, failed) => {
    signal.throwIfAborted()
    // A reader that has seen the end does not read on.
    archive.once("close", () => failed(new Error("the archive was closed")))
    const entry = archive.entry({ name, size: bytes.byteLength, mode: 0o600 }, Buffer.from(bytes), (error) =>
      error === null || error === undefined ? done() : failed(error)
    )
    // A writer that gives up destroys it with an error of its own, which nobody else would hear.
    entry.on("error", failed)
  })

/**
 * Writes a snapshot to a file, whole or not at all, with its ancestors, its verdict and its signatures; `-` is standard output. An
 * existing file is replaced. Equal parts are written once, zeros not at all, and the rest is compressed by zstd. It is written as it is stored: unless it is encrypted,
 * anyone who has the archive can read its memory.
 */
export const exportSnapshot = Effect.fn("exportSnapshot")(function* (reference: string, path: string) {
  yield* checkedOptions("exportSnapshot", Schema.Struct({ path: Path }), { path })
  const failed = orUnfit((cause) => new FileFault({ operation: "export", path, code: codeOf(cause) }))
  const { digest, record, where } = yield* sentLineage(reference, failed)
  const { manifests, others } = piecesOf(record, where)
  const recordBytes = encodeRecord(archiveRecord, record)
  const told = yield* LongWorkListener
  const pieces = [...manifests, ...others]
  const totalBytes = pieces.reduce((sum, { size }) => sum + size, recordBytes.byteLength)

  const write = async (archive: Pack, signal: AbortSignal): Promise<number> => {
    await addEntry(archive, recordEntry, recordBytes, signal)
    let sizeBytes = recordBytes.byteLength
    for (const piece of pieces) {
      await addEntry(archive, pieceEntry(piece), await readPiece(piece), signal)
      sizeBytes += piece.size
      told({ what: path, doneBytes: sizeBytes, totalBytes })
    }
    archive.finalize()
    return sizeBytes
  }

  /** The archive as it is written; its bytes end in an error where one of the snapshot's cannot be read. */
  const begin = (signal: AbortSignal) => {
    const archive = pack()
    archive.setMaxListeners(0)
    // The reader reports errors of the stream; before one reads, an error has no effect.
    archive.on("error", () => undefined)
    const written = write(archive, signal)
    const packed = compressed()
    packed.on("error", () => undefined)
    packed.on("close", () => archive.destroy())
    const fail = (cause: unknown) => packed.destroy(cause instanceof Error ? cause : new Error(String(cause)))
    archive.on("error", fail).pipe(packed)
    written.catch(fail)
    return { archive: packed, written }
  }

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
  return { digest, path, snapshots: record.snapshots.length, sizeBytes } satisfies Exported
})
