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
import { hostFiles } from "../files/hostFiles.ts"
import { decodeChunkTable, type MemoryPart } from "./chunkTable.ts"
import { ManifestFile } from "./Manifest.ts"
import type { Snapshot } from "./SnapshotStore.ts"
import { type PageRange, WorkingSet } from "./Validation.ts"

const pageBytes = 4096

/** Maximum bytes of one read. */
const readBytes = 1 << 20

/** Maximum number of reads at a time. A disk answers several in the time of one; libuv has four threads for them. */
const readsAtOnce = 4

/** The amount that a prefetch read: pages of the working set, and bytes from all files of the chain. */
export interface Prefetched {
  readonly pages: number
  readonly bytes: number
}

/** Maximum bytes of a table of chunks. */
const mostTableBytes = 1 << 30

/** Guest memory: a file, or the table of the objects that have its chunks; and the guest-physical addresses that it covers. */
interface MemoryFile {
  readonly name: string
  readonly isTable: boolean
  readonly begin: number
  readonly end: number
}

/** The part of a manifest that is used here. */
const MemoryManifest = Schema.Struct({ memoryMib: Schema.Natural, files: Schema.Array(ManifestFile) })
type MemoryManifest = typeof MemoryManifest.Type

const memoryFilesOf = ({ files, memoryMib }: MemoryManifest): ReadonlyArray<MemoryFile> =>
  files.flatMap(({ name, sizeBytes, verification }) => {
    const { guestAddress: begin, kind } = verification
    if (begin === null || begin === undefined) return []
    const isTable = kind === "whole"
    return [{ name, isTable, begin, end: begin + (isTable ? memoryMib * 2 ** 20 : sizeBytes) }]
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
    manifest: MemoryManifest,
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

/** A part of a file of a snapshot. */
export interface SnapshotPart {
  readonly path: string
  readonly from: number
  readonly to: number
}

/** The parts of memory's files that hold a recorded working set. */
const workingSetOf = ({ manifest, validation }: Pick<Snapshot, "manifest" | "validation">) => {
  const ranges = validation?.workingSet?.ranges ?? []
  // All snapshots of a chain are of one machine: its memory lies where the newest says.
  const files = memoryFilesOf(manifest).map((file) => ({ ...file, parts: within(ranges, file) }))
  return files.filter(({ parts }) => parts.length > 0)
}

/**
 * Where in the files of a snapshot, and of its ancestors, the working set lies that a validation recorded, in the order of its pages.
 * Empty without a recorded working set.
 *
 * @example
 * ```ts
 * import { workingSetParts } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const { message } = await Effect.runPromise(Effect.flip(workingSetParts(null as never)))
 * console.log(message) // prefetch: expected a snapshot, as SnapshotStore.open gives it, found null
 * ```
 */
export const workingSetParts = (
  snapshot: Snapshot
): Effect.Effect<ReadonlyArray<SnapshotPart>, FileFault | FileUnfit> =>
  isSnapshot(snapshot) ? partsOf(snapshot) : Effect.fail(noSnapshot(snapshot))

const partsOf = (snapshot: Snapshot) =>
  Effect.forEach(workingSetOf(snapshot), ({ isTable, name, parts }) =>
    Effect.forEach(snapshot.layers, (layer) =>
      isTable
        ? chunkParts(layer, name, parts)
        : Effect.succeed(parts.map((part): SnapshotPart => ({ path: join(layer, name), ...part })))
    )
  ).pipe(Effect.map((all) => all.flat(2)))

const prefetched = (snapshot: Snapshot): Effect.Effect<Prefetched, FileFault | FileUnfit> => {
  const bytesOf = (parts: ReadonlyArray<MemoryPart>) => parts.reduce((sum, { from, to }) => sum + (to - from), 0)
  const pages = workingSetOf(snapshot).reduce((sum, { parts }) => sum + bytesOf(parts), 0) / pageBytes
  return partsOf(snapshot).pipe(
    Effect.map((all) => [...Map.groupBy(all, ({ path }) => path)]),
    Effect.flatMap(Effect.forEach(([path, parts]) => readParts(path, parts))),
    Effect.map((read) => ({ pages, bytes: read.reduce((sum, bytes) => sum + bytes, 0) })),
    Effect.withSpan("prefetch")
  )
}

/** The parts of files that have the chunks of some parts of memory, as a table says. */
const chunkParts = (layer: string, name: string, parts: ReadonlyArray<MemoryPart>) =>
  Effect.gen(function* () {
    const path = join(layer, name)
    const bytes = yield* hostFiles.read(path, mostTableBytes)
    const table = yield* Effect.fromResult(decodeChunkTable(bytes)).pipe(
      Effect.mapError((found) => new FileUnfit({ path, expected: "a table of chunks", found }))
    )
    // A parent of an earlier version has all of memory in one file.
    if (table === null)
      return parts.map((part): SnapshotPart => ({ path: path.replace(/\.digests$/, ".bin"), ...part }))
    return table(parts).map(({ file, from, to }): SnapshotPart => ({ path: join(layer, file), from, to }))
  })

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

const readParts = (path: string, parts: ReadonlyArray<MemoryPart>) => {
  const fault = (cause: unknown): FileFault | FileUnfit => {
    if (cause instanceof FileUnfit) return cause
    const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)
    return new FileFault({ operation: "prefetch", path, code })
  }
  return Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => openRegular(path), catch: fault }),
    (file) =>
      Effect.gen(function* () {
        // Nobody looks at what is read: all reads may write to the same place.
        const scratch = new Uint8Array(readBytes)
        const reads = parts.flatMap(({ from, to }) =>
          Array.from({ length: Math.ceil((to - from) / readBytes) }, (_, index) => {
            const at = from + index * readBytes
            return { at, length: Math.min(readBytes, to - at) }
          })
        )
        const read = ({ at, length }: { readonly at: number; readonly length: number }) =>
          Effect.tryPromise({ try: () => file.read(scratch, 0, length, at), catch: fault })
        const all = yield* Effect.forEach(reads, read, { concurrency: readsAtOnce })
        return all.reduce((sum, { bytesRead }) => sum + bytesRead, 0)
      }),
    (file) => Effect.promise(() => file.close())
  )
}
