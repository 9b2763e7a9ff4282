/**
 * Files in pieces that are named by their digests.
 *
 * @module
 */
import { open } from "node:fs/promises"
import { sha256 } from "@stillpoint/core"
import type { ArtifactPiece } from "@stillpoint/images"
import { pieceBytes, type RecordFile, type RecordPiece } from "./transferRecord.ts"

/** Zeros around what a piece holds are left out by as much. */
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
      if (bytesRead !== length) throw new Error(`${from} became shorter while it was read`)
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

/** Makes a file of zeros, or finds the one that a transfer which was cut has left; the pieces that are still to come. */
export const prepareFile = async (file: RecordFile, path: string, signal: AbortSignal): Promise<RecordFile> => {
  const handle = await open(path, "a+", 0o600)
  try {
    await handle.chmod(0o600)
    const { size } = await handle.stat()
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
