/**
 * From an archive to a snapshot of the store.
 *
 * @module
 */
import { type FileHandle, open } from "node:fs/promises"
import type { Duplex, Readable } from "node:stream"
import { codeOf, DurableFiles, openRegular, sha256, Snapshots, type TagOptions } from "@stillpoint/core"
import type { ArtifactPiece } from "@stillpoint/images"
import { Effect, Schema } from "effect"
import { extract, type Header } from "tar-stream"
import { checkedOptions, isFree, Path, SnapshotName, Tagging } from "../sandbox/checkedOptions.ts"
import { LongWorkListener } from "../sandbox/LongWork.ts"
import { placed, prepareFile } from "../transfer/pieces.ts"
import { TransferReading, transferFailure } from "../transfer/readTransfer.ts"
import { RecordReading } from "../transfer/RecordReading.ts"
import { type Fetch, takeLineage } from "../transfer/takeLineage.ts"
import { mostRecordBytes } from "../transfer/transferRecord.ts"
import { archiveRecord, pieceEntry, piecesOf, recordEntry } from "./archiveEntries.ts"
import { bounded, decompressed, isCompressed } from "./compression.ts"

/** What a tar archive may have besides its entries: headers of the record, and what follows the end. */
const mostBesidesBytes = 1 << 20
/** Header and padding of an entry. */
const perEntryBytes = 1024

type Entry = AsyncIterable<Uint8Array> & { readonly header: Header }

/** Entries in order, each of which must be the expected one. */
class Entries extends RecordReading {
  private readonly entries: AsyncIterator<Entry>
  /** Maximum length of the archive: until its record is read, what that may take. */
  mostBytes = mostRecordBytes + mostBesidesBytes

  constructor(path: string, entries: AsyncIterable<Entry>) {
    super(path)
    this.entries = entries[Symbol.asyncIterator]()
  }

  /** The next entry: a file of that name, of that size if one is given, of at most so many bytes. */
  private async take(name: string, size: { readonly exactly: number } | { readonly atMost: number }): Promise<Entry> {
    const next = await this.entries.next()
    if (next.done === true) throw this.invalid(name, "the end")
    const { header } = next.value
    if (header.name !== name || header.type !== "file") {
      throw this.invalid(`the file ${name}`, `a ${header.type ?? "thing"} called ${JSON.stringify(header.name)}`)
    }
    const found = header.size ?? 0
    if ("exactly" in size ? found !== size.exactly : found > size.atMost) {
      const wanted = "exactly" in size ? `${size.exactly} bytes` : `at most ${size.atMost} bytes`
      throw this.invalid(`${name} of ${wanted}`, `${found} bytes`)
    }
    return next.value
  }

  /** The content of the next entry, read into memory as a whole. */
  async read(name: string, size: { readonly exactly: number } | { readonly atMost: number }): Promise<Uint8Array> {
    const pieces: Array<Uint8Array> = []
    for await (const piece of await this.take(name, size)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** The next piece, checked and written to its places; a piece without a place is skipped. */
  async readPiece(piece: ArtifactPiece, places: ArtifactPiece["places"]): Promise<void> {
    const name = pieceEntry(piece)
    const bytes = await this.read(name, { exactly: piece.size })
    if (places.length === 0) return
    const found = sha256(bytes)
    if (`sha256:${found}` !== piece.digest) throw this.invalid(`${name} with that digest`, found)
    for (const { file, offset } of places) {
      let handle: FileHandle | undefined
      try {
        handle = await open(file, "r+")
        for (let at = 0; at < bytes.byteLength;) {
          at += (await handle.write(bytes, at, bytes.byteLength - at, offset + at)).bytesWritten
        }
      } finally {
        await handle?.close()
      }
    }
  }

  async end(): Promise<void> {
    const next = await this.entries.next()
    if (next.done !== true) throw this.invalid("the end", `one more entry, ${JSON.stringify(next.value.header.name)}`)
  }
}

/** Of two pieces that claim one digest with two lengths, one is refused when it comes. */
const keyOf = ({ digest, size }: ArtifactPiece): string => `${digest} ${size}`

const Asked = Schema.Struct({ path: Path, name: Schema.optional(SnapshotName), options: Tagging })

/** Only a regular file: opening a pipe without a writer would block, and cannot be interrupted. */
const openArchive = (path: string) =>
  Effect.acquireRelease(
    Effect.tryPromise({
      try: () =>
        openRegular(path, {
          followsLinks: true,
          refuse: () => new TransferReading(path).invalid("a regular file, or - for standard input", "neither")
        }),
      catch: transferFailure("import", path)
    }),
    ({ handle }) => Effect.promise(() => handle.close())
  )

/** The entries of an archive that is read as it streams, until the scope closes. */
const entriesOf = Effect.fnUntraced(function* (path: string) {
  const file = path === "-" ? null : yield* openArchive(path)
  const source = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const source = file === null ? process.stdin : file.handle.createReadStream({ autoClose: false })
      // Its errors are those of the archive. Before that is read, they have no effect.
      source.on("error", () => undefined)
      return source
    }),
    (source) => Effect.sync(() => source.destroy())
  )
  const packed = yield* isCompressed(source)
  return yield* Effect.acquireRelease(
    Effect.sync(() => {
      const archive = extract()
      // The reader reports errors of the stream.
      archive.on("error", () => undefined)
      const entries = new Entries(path, archive as unknown as AsyncIterable<Entry>)
      const ends = bounded(
        () => entries.mostBytes,
        () => entries.invalid(`an archive of at most ${entries.mostBytes} bytes, as its record says`, "more")
      )
      const stages: ReadonlyArray<Duplex> = packed ? [decompressed(), ends] : []
      const readers: ReadonlyArray<Readable> = [source, ...stages]
      for (const reader of readers) reader.on("error", (cause) => archive.destroy(cause))
      if (source.errored) archive.destroy(source.errored)
      stages.reduce<Readable>((from, stage) => from.pipe(stage), source).pipe(archive)
      return { source, stages, archive, entries }
    }),
    ({ archive, source, stages }) =>
      Effect.sync(() => {
        source.unpipe()
        for (const stage of stages) stage.destroy()
        archive.destroy()
      })
  )
})

/**
 * Takes a snapshot from an archive into the store, under a name if one is given, with its ancestors, its verdict and its signatures; `-`
 * is standard input. It may be compressed by zstd or not. Parts that the store has already are skipped. Every piece is checked before it
 * is written. An archive that is cut off, or has contents that it does not announce, leaves nothing behind.
 */
export const importSnapshot = Effect.fn("importSnapshot")(
  function* (path: string, name?: string, options: TagOptions = {}) {
    yield* checkedOptions("importSnapshot", Asked, { path, name, options })
    const snapshots = yield* Snapshots
    const files = yield* DurableFiles
    const { archive, entries } = yield* entriesOf(path)
    const failed = (cause: unknown) =>
      /^(ZSTD_|Z_|Unexpected end|Invalid tar|Header exceeds|Writable stream closed|Premature close)/.test(codeOf(cause))
        ? entries.invalid("a whole tar archive, perhaps compressed by zstd", codeOf(cause))
        : transferFailure("import", path)(cause)
    const attempt = <A>(work: (signal: AbortSignal) => Promise<A>) =>
      Effect.tryPromise({
        try: async (signal) => {
          const stop = (): void => void archive.destroy(new Error("interrupted"))
          signal.addEventListener("abort", stop)
          return await work(signal).finally(() => signal.removeEventListener("abort", stop))
        },
        catch: failed
      })
    const record = yield* attempt(async () =>
      entries.record(await entries.read(recordEntry, { atMost: mostRecordBytes }), archiveRecord)
    )
    // Checked before more is read, and again under the lock when the name is set.
    if (name !== undefined && options.replace !== true && options.expecting === undefined) {
      yield* isFree(name, record.snapshots[0])
    }
    const folder = yield* snapshots.draft
    yield* files.makeDirectory(folder)
    const { manifests, others } = piecesOf(record, (file) => file)
    const parts = [manifests, others]
    const told = yield* LongWorkListener
    const totalBytes = [...manifests, ...others].reduce((sum, { size }) => sum + size, 0)
    entries.mostBytes += totalBytes + (manifests.length + others.length) * perEntryBytes
    let doneBytes = 0
    const fetch: Fetch = (wanted, where) =>
      attempt(async (signal) => {
        const part = parts.shift() ?? []
        const prepared = await Promise.all(wanted.map((file) => prepareFile(file, where(file.path), signal)))
        const places = new Map(placed(prepared, where).map((piece) => [keyOf(piece), piece.places]))
        for (const piece of part) {
          signal.throwIfAborted()
          await entries.readPiece(piece, places.get(keyOf(piece)) ?? [])
          doneBytes += piece.size
          told({ what: path, doneBytes, totalBytes })
        }
        if (parts.length === 0) await entries.end()
      })
    return yield* takeLineage({ reading: entries, record, folder, fetch, failed }, name, options)
  },
  Effect.scoped,
  Effect.provide(DurableFiles.layer)
)
