/**
 * Archives are compressed by zstd. One that is not is read, too; the first bytes say which it is.
 *
 * @module
 */
import { type Readable, Transform } from "node:stream"
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib"
import { Effect } from "effect"

/** The first bytes of a zstd frame. RFC 8878, section 3.1.1. */
const magic = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

/** The history that a decoder keeps in memory, as a power of two: 8 MiB, which RFC 8878 recommends to support. */
const mostWindowLog = 23

export const compressed = () => createZstdCompress()

export const decompressed = () => createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: mostWindowLog } })

/** Whether a stream is compressed. Its bytes stay in it. */
export const isCompressed = (source: Readable): Effect.Effect<boolean> =>
  Effect.callback<boolean>((resume) => {
    const look = (): void => {
      const head = source.read(magic.byteLength) as Buffer | null
      if (head === null) return
      source.unshift(head)
      answer(head.equals(magic))
    }
    // A stream that is over or broken is for its reader to report.
    const end = (): void => answer(false)
    const leave = (): void => {
      source.off("readable", look).off("end", end).off("close", end)
    }
    const answer = (is: boolean): void => {
      leave()
      resume(Effect.succeed(is))
    }
    source.on("readable", look).on("end", end).on("close", end)
    return Effect.sync(leave)
  })

/** Ends a stream in an error once more has passed than `most` allows, so that a small file cannot become a large one. */
export const bounded = (most: () => number, refuse: () => Error): Transform => {
  let seen = 0
  return new Transform({
    transform: (chunk: Uint8Array, _, done) => {
      seen += chunk.byteLength
      if (seen > most()) done(refuse())
      else done(null, chunk)
    }
  })
}
