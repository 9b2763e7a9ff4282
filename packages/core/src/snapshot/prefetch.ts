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

const pageBytes = 4096

/** Most bytes that are read at once. */
const readBytes = 1 << 20

/** What a prefetch read. */
export interface Prefetched {
  readonly pages: number
  readonly bytes: number
}

/**
 * Reads the working set that a validation recorded from `memory.bin`, so that the first clone after a cold start finds it in the
 * host's page cache. Without a recorded working set nothing is read.
 *
 * @param memoryBase guest-physical address of the file's first byte.
 */
export const prefetch = (snapshot: Snapshot, memoryBase = 0x8000_0000): Effect.Effect<Prefetched, FileFault> => {
  const path = join(snapshot.directory, "memory.bin")
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
        let pages = 0
        for (const range of snapshot.validation?.workingSet?.ranges ?? []) {
          const begin = range.address - memoryBase
          if (begin < 0) continue
          const end = begin + range.pages * pageBytes
          for (let at = begin; at < end; at += readBytes) {
            const length = Math.min(readBytes, end - at)
            const read = yield* Effect.tryPromise({ try: () => file.read(scratch, 0, length, at), catch: fault })
            bytes += read.bytesRead
          }
          pages += range.pages
        }
        return { pages, bytes }
      }),
    (file) => Effect.promise(() => file.close())
  ).pipe(Effect.withSpan("prefetch"))
}
