/**
 * From an archive to a snapshot of the store.
 *
 * @module
 */
import { createReadStream } from "node:fs"
import { chmod, type FileHandle, mkdir, open, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import {
  codeOf,
  DurableFiles,
  manifestFileName,
  mostManifestBytes,
  mostValidationBytes,
  Snapshots,
  type TagOptions,
  validationFileName
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { extract, type Header } from "tar-stream"
import { checkedOptions, Path, SnapshotName, Tagging } from "../sandbox/checkedOptions.ts"
import { importedImage } from "../sandbox/imageSpec.ts"
import { TransferReading, transferFailure } from "../transfer/readTransfer.ts"
import {
  ArchiveHeader,
  ArchiveVersion,
  archiveVersion,
  fileEntry,
  headerName,
  imageEntry,
  manifestEntry,
  mostHeaderBytes,
  validationEntry
} from "./archiveHeader.ts"

/** Pieces of zeros that are left out of a file: as much as a block of most file systems. */
const blockBytes = 4096

/** Writes a file as it comes, without what is zero, flushed. */
const writeSparse = async (path: string, entry: AsyncIterable<Uint8Array>, size: number): Promise<void> => {
  const handle: FileHandle = await open(path, "wx", 0o600)
  try {
    await handle.chmod(0o600)
    let at = 0
    for await (const piece of entry) {
      for (const [from, to] of partsWithBytes(piece, at)) await handle.write(piece, from, to - from, at + from)
      at += piece.byteLength
    }
    await handle.truncate(size)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The parts of a piece that are not zero, in blocks of the file that it stands in from `at` on; neighbours go together. */
const partsWithBytes = (piece: Uint8Array, at: number): ReadonlyArray<readonly [from: number, to: number]> => {
  const parts: Array<[from: number, to: number]> = []
  for (let from = 0; from < piece.byteLength;) {
    const to = Math.min(piece.byteLength, from + blockBytes - ((at + from) % blockBytes))
    const last = parts.at(-1)
    if (!isAllZero(piece.subarray(from, to))) {
      if (last !== undefined && last[1] === from) last[1] = to
      else parts.push([from, to])
    }
    from = to
  }
  return parts
}

const zeros = Buffer.alloc(blockBytes)
const isAllZero = (bytes: Uint8Array): boolean => Buffer.compare(bytes, zeros.subarray(0, bytes.byteLength)) === 0

type Entry = AsyncIterable<Uint8Array> & { readonly header: Header }

/** Entries one after the other, each of which must be the one that is expected. */
class Entries extends TransferReading {
  private readonly entries: AsyncIterator<Entry>

  constructor(path: string, entries: AsyncIterable<Entry>) {
    super(path)
    this.entries = entries[Symbol.asyncIterator]()
  }

  /** The next entry: a file of that name, of that size if one is given, of at most so many bytes. */
  async take(name: string, size: { readonly exactly: number } | { readonly atMost: number }): Promise<Entry> {
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

  async read(name: string, atMost: number): Promise<Uint8Array> {
    const pieces: Array<Uint8Array> = []
    for await (const piece of await this.take(name, { atMost })) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  async end(): Promise<void> {
    const next = await this.entries.next()
    if (next.done !== true) throw this.invalid("the end", `one more entry, ${JSON.stringify(next.value.header.name)}`)
  }
}

const Asked = Schema.Struct({ path: Path, name: Schema.optional(SnapshotName), options: Tagging })

/**
 * Takes the snapshot of an archive into the store, under a name if one is given; `-` is standard input. Digests are checked before
 * it has a name, those of its memory when it is first touched. An archive that is cut off, or holds anything but what it announces,
 * leaves nothing.
 */
export const importSnapshot = Effect.fn("importSnapshot")(function* (
  path: string,
  name?: string,
  options: TagOptions = {}
) {
  yield* checkedOptions("importSnapshot", Asked, { path, name, options })
  const snapshots = yield* Snapshots
  return yield* Effect.scoped(
    Effect.gen(function* () {
      const draft = yield* snapshots.draft
      const reading = Effect.tryPromise({
        try: (signal) => unpack(path, draft, snapshots.home, signal),
        catch: (cause) =>
          /^(Unexpected end|Invalid tar|Writable stream closed)/.test(codeOf(cause))
            ? new TransferReading(path).invalid("a whole tar archive", codeOf(cause))
            : transferFailure("import", path)(cause)
      })
      const contents = yield* reading
      yield* flushDirectories([contents, draft, dirname(draft)])
      return yield* snapshots.keep(draft, name, options)
    })
  )
})

const flushDirectories = (directories: ReadonlyArray<string>) =>
  DurableFiles.use((files) => Effect.forEach(directories, files.flushDirectory, { discard: true })).pipe(
    Effect.provide(DurableFiles.layer)
  )

/** Unpacks into a draft; answers with the directory of the contents. */
const unpack = async (path: string, draft: string, home: string, signal: AbortSignal): Promise<string> => {
  const source = path === "-" ? process.stdin : createReadStream(path)
  const archive = extract()
  const stop = (): void => void archive.destroy(new Error("interrupted"))
  signal.addEventListener("abort", stop)
  source.on("error", (cause: Error) => archive.destroy(cause))
  source.pipe(archive)
  try {
    return await unpackEntries(new Entries(path, archive as unknown as AsyncIterable<Entry>), draft, home)
  } finally {
    signal.removeEventListener("abort", stop)
    source.unpipe(archive)
    source.destroy()
    archive.destroy()
  }
}

const unpackEntries = async (entries: Entries, draft: string, home: string): Promise<string> => {
  const header = entries.versioned(await entries.read(headerName, mostHeaderBytes), {
    name: "the header of an archive",
    version: ArchiveVersion,
    supported: archiveVersion,
    record: ArchiveHeader
  })
  const { digest, image } = header
  const manifestBytes = await entries.read(manifestEntry, mostManifestBytes)
  const manifest = entries.manifest(manifestEntry, manifestBytes, { digest, image, parent: null })

  const contents = join(draft, manifest.contents)
  for (const directory of [draft, contents]) {
    await mkdir(directory, { mode: 0o700 })
    await chmod(directory, 0o700)
  }
  for (const file of manifest.files) {
    const entry = await entries.take(fileEntry(file.name), { exactly: file.sizeBytes })
    await writeSparse(join(contents, file.name), entry, file.sizeBytes)
  }
  if (header.hasValidation) {
    const verdict = await entries.read(validationEntry, mostValidationBytes)
    await writeSparse(join(contents, validationFileName), one(verdict), verdict.byteLength)
  }
  if (image !== null) await unpackImage(entries, importedImage(home, manifest))
  await entries.end()
  await writeSparse(join(draft, manifestFileName), one(manifestBytes), manifestBytes.byteLength)
  return contents
}

/** Largest image that is taken, bytes. */
const mostImageBytes = 2 ** 40

/** The image, beside the snapshots; what a machine reads of it is checked against its digest when it is restored. */
const unpackImage = async (entries: Entries, image: string): Promise<void> => {
  const entry = await entries.take(imageEntry, { atMost: mostImageBytes })
  await mkdir(dirname(image), { mode: 0o700 }).catch((cause: unknown) => {
    if (codeOf(cause) !== "EEXIST") throw cause
  })
  const draft = `${image}.${process.pid}.${Math.random().toString(16).slice(2)}`
  try {
    await writeSparse(draft, entry, entry.header.size ?? 0)
    await rename(draft, image)
  } finally {
    await rm(draft, { force: true })
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
