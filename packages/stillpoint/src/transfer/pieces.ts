/**
 * Files in pieces that are named by their digests.
 *
 * @module
 */
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { type FileFault, FileUnfit, sha256 } from "@stillpoint/core"
import type { ArtifactPiece } from "@stillpoint/images"
import { pieceBytes, type RecordFile, type RecordPiece } from "./transferRecord.ts"

/** Zeros around a piece are left out in multiples of this. */
const blockBytes = 4096
const zeros = Buffer.alloc(blockBytes)

/** The part of some bytes that is left without the blocks of zeros before and behind it; `null` for nothing but zeros. */
const withoutZeros = (bytes: Buffer): { readonly from: number; readonly to: number } | null => {
  const isZero = (from: number): boolean => {
    const block = bytes.subarray(from, from + blockBytes)
    return block.equals(zeros.subarray(0, block.byteLength))
  }
  let from = 0
  while (from < bytes.byteLength && isZero(from)) from += blockBytes
  if (from >= bytes.byteLength) return null
  let last = Math.floor((bytes.byteLength - 1) / blockBytes) * blockBytes
  while (isZero(last)) last -= blockBytes
  return { from, to: Math.min(bytes.byteLength, last + blockBytes) }
}

/** Passes on an error of the sent file; turns any other error into the result of `fault`. */
export const orUnfit =
  (fault: (cause: unknown) => FileFault) =>
  (cause: unknown): FileFault | FileUnfit =>
    cause instanceof FileUnfit ? cause : fault(cause)

/** The pieces of a file. */
export const cutFile = async (path: string, from: string, signal: AbortSignal): Promise<RecordFile> => {
  const handle = await open(from, "r")
  try {
    const { size } = await handle.stat()
    const pieces: Array<RecordPiece> = []
    const buffer = Buffer.alloc(Math.min(pieceBytes, size))
    for (let at = 0; at < size; at += pieceBytes) {
      signal.throwIfAborted()
      const length = Math.min(pieceBytes, size - at)
      const { bytesRead } = await handle.read(buffer, 0, length, at)
      if (bytesRead !== length) {
        throw new FileUnfit({ path: from, expected: `${size} bytes`, found: `${at + bytesRead}, as it was read` })
      }
      const part = withoutZeros(buffer.subarray(0, length))
      if (part === null) continue
      const content = buffer.subarray(part.from, part.to)
      pieces.push({ offset: at + part.from, digest: sha256(content), size: content.byteLength })
    }
    return { path, sizeBytes: size, pieces }
  } finally {
    await handle.close()
  }
}

/** The bytes of a piece, as they were when it was cut. */
export const readPiece = async ({ digest, places, size }: ArtifactPiece): Promise<Uint8Array> => {
  const [place] = places
  if (place === undefined) throw new TypeError(`a piece without a place: ${digest}`)
  let handle: FileHandle | undefined
  try {
    handle = await open(place.file, "r")
    const bytes = new Uint8Array(size)
    const { bytesRead } = await handle.read(bytes, 0, size, place.offset)
    if (bytesRead !== size || `sha256:${sha256(bytes)}` !== digest) {
      throw new FileUnfit({
        path: place.file,
        expected: "its content when it was cut into pieces",
        found: "something else"
      })
    }
    return bytes
  } finally {
    await handle?.close()
  }
}

/** Every piece once, with the places where it stands: `where` says where each file is. */
export const placed = (
  files: ReadonlyArray<RecordFile>,
  where: (path: string) => string
): ReadonlyArray<ArtifactPiece> => {
  const all = new Map<string, { digest: string; size: number; places: Array<{ file: string; offset: number }> }>()
  for (const { path, pieces } of files) {
    for (const { digest, offset, size } of pieces) {
      // Of two that claim one digest with two lengths, one is refused when it comes.
      const key = `${digest} ${size}`
      const one = all.get(key) ?? { digest: `sha256:${digest}`, size, places: [] }
      one.places.push({ file: where(path), offset })
      all.set(key, one)
    }
  }
  return [...all.values()]
}

/** Creates a file of zeros, or finds the one that an interrupted transfer left; returns the pieces that are missing. */
export const prepareFile = async (file: RecordFile, path: string, signal: AbortSignal): Promise<RecordFile> => {
  const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants
  const handle = await open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600)
  try {
    const found = await handle.stat()
    if (!found.isFile()) throw new FileUnfit({ path, expected: "a regular file", found: "something else" })
    const { size } = found
    await handle.chmod(0o600)
    if (size !== file.sizeBytes) {
      await handle.truncate(0)
      await handle.truncate(file.sizeBytes)
      return file
    }
    const missing: Array<RecordPiece> = []
    for (const piece of file.pieces) {
      signal.throwIfAborted()
      const found = Buffer.alloc(piece.size)
      await handle.read(found, 0, piece.size, piece.offset)
      if (sha256(found) !== piece.digest) missing.push(piece)
    }
    return { ...file, pieces: missing }
  } finally {
    await handle.close()
  }
}
