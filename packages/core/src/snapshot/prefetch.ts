/**
 * Bringing what a clone will need into the host's memory before it asks.
 *
 * @module
 */
import { open } from "node:fs/promises"
import { join } from "node:path"
import { Effect } from "effect"
import { FileFault } from "./DurableFiles.ts"
import type { Snapshot } from "./SnapshotStore.ts"
import type { PageRange } from "./Validation.ts"

const pageBytes = 4096

/** Most bytes that are read at once. */
const readBytes = 1 << 20

/** What a prefetch read: pages of the working set, and bytes from all files of the chain. */
export interface Prefetched {
  readonly pages: number
  readonly bytes: number
}

/**
 * Reads the working set that a validation recorded from `memory.bin`, so that the first clone after a cold start finds it in the
 * host's page cache. Without a recorded working set nothing is read. Of a delta the same is read from everything that it was taken
 * against: what one of them does not hold is a hole, and costs no reading from the disk.
 *
 * @param memoryBase guest-physical address of the files' first byte.
 */
export const prefetch = (snapshot: Snapshot, memoryBase = 0x8000_0000): Effect.Effect<Prefetched, FileFault> => {
  const ranges = (snapshot.validation?.workingSet?.ranges ?? []).filter(({ address }) => address >= memoryBase)
  const pages = ranges.reduce((sum, range) => sum + range.pages, 0)
  const directories = ranges.length === 0 ? [] : [snapshot.directory, ...snapshot.parents]
  return Effect.forEach(directories, (directory) => readRanges(join(directory, "memory.bin"), ranges, memoryBase)).pipe(
    Effect.map((read) => ({ pages, bytes: read.reduce((sum, bytes) => sum + bytes, 0) })),
    Effect.withSpan("prefetch")
  )
}

const readRanges = (path: string, ranges: ReadonlyArray<PageRange>, memoryBase: number) => {
  const fault = (cause: unknown): FileFault => {
    const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause)
    return new FileFault({ operation: "prefetch", path, code })
  }
  return Effect.acquireUseRelease(
    Effect.tryPromise({ try: () => open(path, "r"), catch: fault }),
    (file) =>
      Effect.gen(function* () {
        const scratch = new Uint8Array(readBytes)
        let bytes = 0
        for (const range of ranges) {
          const begin = range.address - memoryBase
          const end = begin + range.pages * pageBytes
          for (let at = begin; at < end; at += readBytes) {
            const length = Math.min(readBytes, end - at)
            const read = yield* Effect.tryPromise({ try: () => file.read(scratch, 0, length, at), catch: fault })
            bytes += read.bytesRead
          }
        }
        return bytes
      }),
    (file) => Effect.promise(() => file.close())
  )
}
