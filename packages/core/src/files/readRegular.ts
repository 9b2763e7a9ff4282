/**
 * Reads regular files of the host, without waiting for pipes or reading endless devices.
 *
 * @module
 */
import { constants, type Stats } from "node:fs"
import * as Fs from "node:fs/promises"
import { FileUnfit } from "./FileErrors.ts"
import { fileKindInWords } from "./fileKind.ts"
import { codeOf } from "./systemCode.ts"

/** The reasons for refusing to read a file. */
export type RegularRefusal =
  | { readonly _tag: "NotRegular"; readonly found: string }
  | { readonly _tag: "TooLarge"; readonly foundBytes: number }
  /** It has another length than when it was opened; `null`: a greater one. */
  | { readonly _tag: "Changed"; readonly expectedBytes: number; readonly foundBytes: number | null }

/** Options of a read. */
export interface RegularOptions {
  /** The error for a file that is not read; `FileUnfit` if absent. */
  readonly refuse?: (why: RegularRefusal) => Error
  /** Whether a link at the path is followed; refused if absent. */
  readonly followsLinks?: boolean
}

const unfitFor =
  (path: string | Buffer, expected: string) =>
  (refusal: RegularRefusal): FileUnfit => {
    const where = String(path)
    switch (refusal._tag) {
      case "NotRegular":
        return new FileUnfit({ path: where, expected, found: refusal.found })
      case "TooLarge":
        return new FileUnfit({ path: where, expected, found: `${refusal.foundBytes} bytes` })
      case "Changed": {
        const { expectedBytes, foundBytes } = refusal
        const found = foundBytes === null ? "more, while it was read" : `${foundBytes} bytes`
        return new FileUnfit({ path: where, expected: `${expectedBytes} bytes`, found })
      }
    }
  }

interface Pieces extends RegularOptions {
  readonly bufferOf: (leftBytes: number) => Uint8Array
  readonly take: (bytes: Uint8Array) => void
}

/** Opens a regular file without blocking on anything else. The caller closes it. */
export const openRegular = async (
  path: string | Buffer,
  { followsLinks = false, refuse = unfitFor(path, "a regular file") }: RegularOptions = {}
): Promise<{ readonly handle: Fs.FileHandle; readonly found: Stats }> => {
  const unfit = (found: string) => refuse({ _tag: "NotRegular", found })
  let handle: Fs.FileHandle
  try {
    // Does not block on a pipe without a writer.
    handle = await Fs.open(path, constants.O_RDONLY | constants.O_NONBLOCK | (followsLinks ? 0 : constants.O_NOFOLLOW))
  } catch (cause) {
    if (!followsLinks && (codeOf(cause) === "ELOOP" || codeOf(cause) === "EMLINK")) throw unfit("a link")
    if (codeOf(cause) === "ENXIO") throw unfit("a socket or a device")
    throw cause
  }
  try {
    const found = await handle.stat()
    if (!found.isFile()) throw unfit(fileKindInWords(found))
    return { handle, found }
  } catch (cause) {
    await handle.close()
    throw cause
  }
}

/** Reads a regular file piece by piece, as many bytes as it has. */
export const readRegular = async (
  path: string | Buffer,
  atMostBytes: number,
  {
    bufferOf,
    followsLinks = false,
    refuse = unfitFor(path, `a regular file of at most ${atMostBytes} bytes`),
    take
  }: Pieces
): Promise<number> => {
  const { found, handle } = await openRegular(path, { followsLinks, refuse })
  try {
    if (found.size > atMostBytes) throw refuse({ _tag: "TooLarge", foundBytes: found.size })
    let at = 0
    while (true) {
      const buffer = bufferOf(found.size - at)
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) break
      at += bytesRead
      if (at > found.size) break
      take(buffer.subarray(0, bytesRead))
    }
    if (at !== found.size) {
      throw refuse({ _tag: "Changed", expectedBytes: found.size, foundBytes: at > found.size ? null : at })
    }
    return at
  } finally {
    await handle.close()
  }
}

const pieceBytes = 1 << 24

/**
 * All that a regular file of at most so many bytes holds, as long as it was when it was opened.
 *
 * @example
 * ```ts
 * import { readRegularFile } from "@stillpoint/core"
 *
 * console.log(await readRegularFile("/dev/zero", 1 << 20).catch(({ message }) => message))
 * // /dev/zero: expected a regular file of at most 1048576 bytes, found a device
 * ```
 */
export const readRegularFile = async (
  path: string | Buffer,
  atMostBytes: number,
  options: RegularOptions = {}
): Promise<Uint8Array> => {
  const pieces: Array<Uint8Array> = []
  const sizeBytes = await readRegular(path, atMostBytes, {
    ...options,
    bufferOf: (left) => new Uint8Array(Math.min(left, pieceBytes) + 1),
    take: (bytes) => void pieces.push(bytes)
  })
  const [only] = pieces
  if (only !== undefined && pieces.length === 1) return only
  const whole = new Uint8Array(sizeBytes)
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}
