/**
 * Where memory's chunks are, as a table of a snapshot says: which bytes of which file hold some pages.
 *
 * The core draws the table (`snapshot/digests.rs`) and trusts only one that the snapshot's identity covers; here it is read to know
 * what to read in advance.
 *
 * @module
 */
import { Result } from "effect"

const pageBytes = 4096

/** Bytes of a file. */
export interface FilePart {
  readonly file: string
  readonly from: number
  readonly to: number
}

/** A range of pages, by offsets in memory. */
export interface MemoryPart {
  readonly from: number
  readonly to: number
}

interface Run {
  /** Number of its first chunk, among those that are stored. */
  readonly first: number
  readonly object: string
  readonly slot: number
}

/** A decoded table: the parts of files that hold some of memory, or `null` for a version whose chunks lie in one file, at their offsets. */
export type ChunkTable = ((parts: ReadonlyArray<MemoryPart>) => ReadonlyArray<FilePart>) | null

const magic = "STILLDIG"

/** Adds a part behind those before it, or to the last one if it continues that. */
const added = (parts: Array<FilePart>, part: FilePart): void => {
  const last = parts.at(-1)
  if (last !== undefined && last.file === part.file && last.to === part.from) {
    parts[parts.length - 1] = { ...last, to: part.to }
  } else parts.push(part)
}

const decode = (bytes: Uint8Array): ChunkTable => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (new TextDecoder().decode(bytes.subarray(0, 8)) !== magic) throw new RangeError("something else")
  let at = 8
  const u32 = (): number => {
    at += 4
    return view.getUint32(at - 4, true)
  }
  const version = u32()
  const chunkBytes = u32()
  const pages = Number(view.getBigUint64(at, true))
  at += 8
  if (version < 3) return null
  const objects = Array.from({ length: Math.min(u32(), pages) }, () => {
    const name = Buffer.from(bytes.subarray(at, at + 32)).toString("hex")
    at += 32
    u32()
    return name
  })
  let count = 0
  const runs: Array<Run> = []
  for (let left = Math.min(u32(), pages); left > 0; left--) {
    const [object = "", slot] = [objects[u32()], u32()]
    runs.push({ first: count, object, slot })
    count += u32()
  }
  const stored = bytes.subarray(at, at + Math.ceil(pages / 8))
  const chunkPages = chunkBytes / pageBytes
  if (chunkPages !== 4) throw new RangeError(`chunks of ${chunkBytes} bytes`)
  // Two chunks in a byte of the bits of their pages.
  const isStored = (chunk: number): boolean => (((stored[chunk >> 1] ?? 0) >> (4 * (chunk & 1))) & 15) !== 0
  return (parts) => {
    const found: Array<FilePart> = []
    let run = 0
    let chunk = 0
    let number = 0
    for (const { from, to } of parts) {
      const last = Math.min(Math.ceil(to / chunkBytes), Math.ceil(pages / chunkPages))
      for (; chunk < last; chunk++) {
        if (!isStored(chunk)) continue
        while (number >= (runs[run + 1]?.first ?? Number.POSITIVE_INFINITY)) run += 1
        const place = runs[run]
        if (place !== undefined && chunk >= Math.floor(from / chunkBytes)) {
          const offset = (place.slot + number - place.first) * chunkBytes
          added(found, { file: place.object, from: offset, to: offset + chunkBytes })
        }
        number += 1
      }
    }
    return found
  }
}

/** Reads a table; the ranges that it is asked for must ascend and be apart. */
export const decodeChunkTable = (bytes: Uint8Array): Result.Result<ChunkTable, string> =>
  Result.try({
    try: () => decode(bytes),
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause))
  })
