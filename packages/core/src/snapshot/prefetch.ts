/**
 * Reads the pages that a clone will need into the host's memory in advance.
 *
 * @module
 */
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Schema } from "effect"
import { describeValue } from "../describeValue.ts"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { fileKindInWords } from "../files/fileKind.ts"
import { ManifestFile } from "./Manifest.ts"
import type { Snapshot } from "./SnapshotStore.ts"
import { type PageRange, WorkingSet } from "./Validation.ts"

const pageBytes = 4096

/** Maximum bytes of one read. */
const readBytes = 1 << 20

/** The amount that a prefetch read: pages of the working set, and bytes from all files of the chain. */
export interface Prefetched {
  readonly pages: number
  readonly bytes: number
}

/** A file of guest memory, and the guest-physical addresses that it covers. */
interface MemoryFile {
  readonly name: string
  readonly begin: number
  readonly end: number
}

const memoryFilesOf = (files: ReadonlyArray<ManifestFile>): ReadonlyArray<MemoryFile> =>
  files.flatMap(({ name, sizeBytes, verification }) => {
    if (verification.kind !== "byChunk" || verification.guestAddress === null) return []
    return [{ name, begin: verification.guestAddress, end: verification.guestAddress + sizeBytes }]
  })

/** The parts of some ranges that lie in a file, as offsets from its begin. */
const within = (ranges: ReadonlyArray<PageRange>, { begin, end }: MemoryFile) =>
  ranges.flatMap(({ address, pages }) => {
    const from = Math.max(address, begin)
    const to = Math.min(address + pages * pageBytes, end)
    return from < to ? [{ from: from - begin, to: to - begin }] : []
  })

/**
 * Reads the working set that a validation recorded from the snapshot's memory files, so that the first clone after a cold start
 * finds it in the host's page cache. Does nothing without a recorded working set. For a delta, the same pages are read from all
 * its ancestors: pages that one of them lacks are holes, and cost no reads.
 */
export const prefetch = (snapshot: Snapshot): Effect.Effect<Prefetched, FileFault | FileUnfit> =>
  isSnapshot(snapshot) ? prefetched(snapshot) : Effect.fail(noSnapshot(snapshot))

/** Whether a store has opened it, as far as its fields are used here. */
const isSnapshot = Schema.is(
  Schema.Struct({
    manifest: Schema.Struct({ files: Schema.Array(ManifestFile) }),
    layers: Schema.Array(Schema.String),
    validation: Schema.NullOr(Schema.Struct({ workingSet: Schema.NullOr(WorkingSet) }))
  })
)

const noSnapshot = (found: unknown) =>
  new FileUnfit({
    path: "prefetch",
    expected: "a snapshot, as SnapshotStore.open gives it",
    found: describeValue(found)
  })

const prefetched = (snapshot: Snapshot): Effect.Effect<Prefetched, FileFault | FileUnfit> => {
  const ranges = snapshot.validation?.workingSet?.ranges ?? []
  // All snapshots of a chain are of one machine: its memory lies where the newest says.
  const files = memoryFilesOf(snapshot.manifest.files).map((file) => ({ ...file, parts: within(ranges, file) }))
  const bytesOf = (parts: ReadonlyArray<{ readonly from: number; readonly to: number }>) =>
    parts.reduce((sum, { from, to }) => sum + (to - from), 0)
  const pages = files.reduce((sum, { parts }) => sum + bytesOf(parts), 0) / pageBytes
  const reads = files
    .filter(({ parts }) => parts.length > 0)
    .flatMap(({ name, parts }) => snapshot.layers.map((layer) => readParts(join(layer, name), parts)))
  return Effect.all(reads).pipe(
    Effect.map((read) => ({ pages, bytes: read.reduce((sum, bytes) => sum + bytes, 0) })),
    Effect.withSpan("prefetch")
  )
}

const openRegular = async (path: string): Promise<FileHandle> => {
  const unfit = (found: string) => new FileUnfit({ path, expected: "a regular file", found })
  // Does not follow a link, and does not block on a pipe without a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const file = await open(path, flags).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === "ELOOP" ? unfit("a link") : cause
  })
  const found = await file.stat()
  if (found.isFile()) return file
  await file.close()
  throw unfit(fileKindInWords(found))
}

const readParts = (path: string, parts: ReadonlyArray<{ readonly from: number; readonly to: number }>) => {
  const fault = (cause: unknown): FileFault | FileUnfit => {
    if (cause instanceof FileUnfit) return cause
    const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)
    return new FileFault({ operation: "prefetch", path, code })
  }
  return Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => openRegular(path), catch: fault }),
    (file) =>
      Effect.gen(function* () {
        const scratch = new Uint8Array(readBytes)
        let bytes = 0
        for (const { from, to } of parts) {
          for (let at = from; at < to; at += readBytes) {
            const length = Math.min(readBytes, to - at)
            const read = yield* Effect.tryPromise({ try: () => file.read(scratch, 0, length, at), catch: fault })
            bytes += read.bytesRead
          }
        }
        return bytes
      }),
    (file) => Effect.promise(() => file.close())
  )
}
