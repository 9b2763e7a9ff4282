import { Malformed } from "../Malformed.ts"
/**
 * Reads regular files out of a tar stream, one at a time.
 *
 * ```text
 * name 100 | mode 8 | uid 8 | gid 8 | size 12 | mtime 12 | checksum 8 | type 1 | link 100 | magic 8 | … | prefix 155
 * ```
 *
 * Headers and contents are padded to 512 bytes. Numbers are octal text. A type `L` entry holds the long
 * name of the one after it.
 *
 * Source: tar(5), the ustar and GNU forms, which `dpkg-deb` writes.
 *
 * @module
 */

/** A regular file of the archive. */
export interface TarFile {
  /** As written in the archive, without a leading `./`. */
  readonly path: string
  readonly sizeBytes: number
  /** Reads the content. Call it before the next file is requested; unread content is skipped. */
  readonly read: () => Promise<Buffer>
}

const blockBytes = 512
const longNameBytesMax = 4096

/** Hands out exact lengths of a stream of pieces. */
class ByteSource {
  private readonly pieces: AsyncIterator<Buffer>
  private held: Buffer = Buffer.alloc(0)

  constructor(pieces: AsyncIterable<Buffer>) {
    this.pieces = pieces[Symbol.asyncIterator]()
  }

  /** The next piece, at most `limit` bytes of it; `undefined` at the end. */
  private async some(limit: number): Promise<Buffer | undefined> {
    while (this.held.length === 0) {
      const next = await this.pieces.next()
      if (next.done === true) return undefined
      this.held = next.value
    }
    const piece = this.held.subarray(0, limit)
    this.held = this.held.subarray(piece.length)
    return piece
  }

  /** Calls `each` with the next `length` bytes in pieces. Throws when the stream ends before. */
  async pass(length: number, each: (piece: Buffer) => void): Promise<void> {
    for (let left = length; left > 0;) {
      const piece = await this.some(left)
      if (piece === undefined)
        throw new Malformed({ message: `expected ${left} more bytes of a tar entry, found the end` })
      each(piece)
      left -= piece.length
    }
  }

  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length)
    let at = 0
    await this.pass(length, (piece) => {
      at += piece.copy(bytes, at)
    })
    return bytes
  }
}

const textOf = (field: Buffer): string => field.toString("utf8").split("\0")[0] ?? ""

const octal = (field: Buffer): number => {
  const text = textOf(field).trim()
  if (!/^[0-7]+$/.test(text))
    throw new Malformed({ message: `expected an octal number in a tar header, found ${JSON.stringify(text)}` })
  return Number.parseInt(text, 8)
}

const checksum = (header: Buffer): number => {
  let sum = 0
  // Its own field counts as blanks.
  for (let i = 0; i < blockBytes; i++) sum += i >= 148 && i < 156 ? 0x20 : (header[i] ?? 0)
  return sum
}

/** The regular files of a tar stream, in order. Throws {@link Malformed} with the problem. */
export async function* readTar(pieces: AsyncIterable<Buffer>): AsyncGenerator<TarFile> {
  const source = new ByteSource(pieces)
  const skip = (length: number) => source.pass(length, () => {})
  let longName: string | undefined
  for (;;) {
    const header = await source.take(blockBytes)
    if (header.every((byte) => byte === 0)) return
    if (octal(header.subarray(148, 156)) !== checksum(header))
      throw new Malformed({ message: "a tar header's checksum is wrong" })
    const sizeBytes = octal(header.subarray(124, 136))
    const padding = (blockBytes - (sizeBytes % blockBytes)) % blockBytes
    const type = String.fromCharCode(header[156] ?? 0)
    if (type === "L") {
      if (sizeBytes > longNameBytesMax)
        throw new Malformed({ message: `a name in a tar archive has ${sizeBytes} bytes` })
      longName = textOf(await source.take(sizeBytes))
      await skip(padding)
      continue
    }
    const prefix = textOf(header.subarray(345, 500))
    const ustar = header.toString("latin1", 257, 263) === "ustar\0"
    const short = textOf(header.subarray(0, 100))
    const path = longName ?? (ustar && prefix !== "" ? `${prefix}/${short}` : short)
    longName = undefined
    if (type !== "0" && type !== "\0") {
      await skip(sizeBytes + padding)
      continue
    }
    let unread = true
    yield {
      path: path.replace(/^\.\//, ""),
      sizeBytes,
      read: () => {
        unread = false
        return source.take(sizeBytes)
      }
    }
    await skip(unread ? sizeBytes + padding : padding)
  }
}
