/**
 * Reads a write-ahead log on the disk as SQLite reads the one of a killed process: it finds what the next process to open the
 * journal would find, whatever the open connections remember.
 *
 * ```text
 * header  32 bytes   magic, version, bytes of a page, sequence, two salts, checksum of the 24 bytes before
 * frame   24 bytes   page, pages of the file if this frame ends a commit or else 0, the two salts, checksum so far
 *         a page     its content
 * ```
 * Every append writes the page of the guard, so each commit shows the position up to which the journal goes with it. All numbers
 * have 32 bits, big-endian. A checksum continues from the previous one, over pairs of numbers whose byte order the magic defines.
 *
 * Source: SQLite, `fileformat2.html`, "The Write-Ahead Log".
 *
 * @module
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs"

const headerBytes = 32
const frameHeaderBytes = 24
const magic = 0x377f_0682
const leastPageBytes = 512
const mostPageBytes = 65_536
/** Read at once. */
const chunkFrames = 64

interface Sums {
  readonly one: number
  readonly other: number
}

const sumsAt = (bytes: Buffer, offset: number): Sums => ({
  one: bytes.readUInt32BE(offset),
  other: bytes.readUInt32BE(offset + 4)
})

const isEqual = (left: Sums, right: Sums): boolean => left.one === right.one && left.other === right.other

const summed = (bytes: Buffer, isBigEndian: boolean, { one, other }: Sums): Sums => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let left = one | 0
  let right = other | 0
  for (let at = 0; at < bytes.length; at += 8) {
    left = (left + view.getInt32(at, !isBigEndian) + right) | 0
    right = (right + view.getInt32(at + 4, !isBigEndian) + left) | 0
  }
  return { one: left >>> 0, other: right >>> 0 }
}

/** A commit that is whole, with all before it; or the beginning of a log, which has none. */
interface Commit {
  readonly header: Buffer
  readonly endBytes: number
  readonly sums: Sums
  /** The head of its last frame, whose checksum is of everything before it. */
  readonly frame: Buffer
  /** Position of the journal's last event with it. */
  readonly head: number
}

/** A log that is checked repeatedly. */
export interface FollowedLog {
  /** Whether a process that opens the journal with this log finds the events up to a position. */
  readonly holds: (position: number) => boolean
  readonly close: () => void
}

/** Each read is processed before the next one, so they share a buffer. */
let scratch = Buffer.alloc(0)

const readAt = (file: number, offset: number, length: number): Buffer => {
  if (scratch.length < length) scratch = Buffer.allocUnsafeSlow(length)
  let read = 0
  while (read < length) {
    const more = readSync(file, scratch, read, length - read, offset + read)
    if (more === 0) break
    read += more
  }
  return scratch.subarray(0, read)
}

const pageBytesOf = (header: Buffer): number => header.readUInt32BE(8)
const isBigEndian = (header: Buffer): boolean => (header.readUInt32BE(0) & 1) === 1

const begin = (header: Buffer): Commit | null => {
  if (header.length < headerBytes || (header.readUInt32BE(0) & ~1) >>> 0 !== magic) return null
  const pageBytes = pageBytesOf(header)
  if (pageBytes < leastPageBytes || pageBytes > mostPageBytes || (pageBytes & (pageBytes - 1)) !== 0) return null
  const sums = summed(header.subarray(0, headerBytes - 8), isBigEndian(header), { one: 0, other: 0 })
  if (!isEqual(sums, sumsAt(header, headerBytes - 8))) return null
  return { header, endBytes: headerBytes, sums, frame: Buffer.alloc(0), head: 0 }
}

/**
 * The head in the one row of the guard's page, a leaf of one cell: its size, its number, then the size of the record's own header and
 * the types of its columns, none for the row's number.
 */
const headIn = (page: Buffer): number | null => {
  const cellsAt = 8
  const record = page.readUInt16BE(cellsAt) + 2
  if (record + 5 > page.length || page[record] !== 5) return null
  const [, , idType = 0, stateType = 0, headType = 0] = page.subarray(record, record + 5)
  const at = record + 5 + (idType - 13) / 2 + (stateType - 13) / 2
  // Types 8 and 9 are the numbers 0 and 1 themselves; 5 and 6 have six and eight bytes.
  if (headType >= 8) return headType - 8
  const bytes = [0, 1, 2, 3, 4, 6, 8][headType] ?? 0
  if (!Number.isInteger(at) || at + bytes > page.length) return null
  return page.subarray(at, at + bytes).reduce((head, byte) => head * 256 + byte, 0)
}

/** The first commit after another one with which the journal reaches at least a position; `null` if there is none. */
const findCommit = (file: number, from: Commit, guardPage: number, position: number): Commit | null => {
  const { header } = from
  const frameBytes = frameHeaderBytes + pageBytesOf(header)
  const salts = header.subarray(16, 24)
  let { endBytes: at, head, sums } = from
  for (;;) {
    const chunk = readAt(file, at, chunkFrames * frameBytes)
    for (let offset = 0; offset < chunk.length; offset += frameBytes) {
      const frame = chunk.subarray(offset, offset + frameBytes)
      if (frame.length < frameBytes || !frame.subarray(8, 16).equals(salts)) return null
      sums = summed(frame.subarray(0, 8), isBigEndian(header), sums)
      sums = summed(frame.subarray(frameHeaderBytes), isBigEndian(header), sums)
      if (!isEqual(sums, sumsAt(frame, 16))) return null
      at += frameBytes
      if (frame.readUInt32BE(0) === guardPage) head = headIn(frame.subarray(frameHeaderBytes)) ?? head
      const isCommit = frame.readUInt32BE(4) !== 0
      if (isCommit && head >= position) {
        return { header, endBytes: at, sums, frame: Buffer.from(frame.subarray(0, frameHeaderBytes)), head }
      }
    }
    if (chunk.length < chunkFrames * frameBytes) return null
  }
}

/** Whether a commit still ends at its place in the same log. */
const isKept = (file: number, header: Buffer, { endBytes, frame, header: was }: Commit): boolean =>
  was.equals(header) &&
  fstatSync(file).size >= endBytes &&
  readAt(file, endBytes - frameHeaderBytes - pageBytesOf(was), frameHeaderBytes).equals(frame)

/** Whether a file begins as a log does, or does not exist. */
export const beginsAsLog = (path: string): boolean => {
  let file: number | null = null
  try {
    file = openSync(path, "r")
    return begin(readAt(file, 0, headerBytes)) !== null
  } catch {
    return true
  } finally {
    if (file !== null) closeSync(file)
  }
}

/**
 * Follows the log at `path`, which exists, of a journal whose guard is on page `guardPage`. SQLite holds no lock on a log that closing
 * it here would give up.
 */
export const followLog = (path: string, guardPage: number): FollowedLog => {
  const file = openSync(path, "r")
  // The next connection overwrites unacknowledged commits of a killed process: only acknowledged ones are kept.
  let known: Commit | null = null
  return {
    holds: (position) => {
      const header = Buffer.from(readAt(file, 0, headerBytes))
      const isKnown = known !== null && isKept(file, header, known)
      if (isKnown && known !== null && known.head >= position) return true
      const from = isKnown ? known : begin(header)
      known = from === null ? null : findCommit(file, from, guardPage, position)
      return known !== null
    },
    close: () => closeSync(file)
  }
}
