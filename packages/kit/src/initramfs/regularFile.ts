/**
 * The content of a file of the host.
 *
 * @module
 */
import { constants } from "node:fs"
import { open } from "node:fs/promises"
import { Malformed } from "../Malformed.ts"
import { InitramfsError, TooLarge } from "./InitramfsError.ts"

/**
 * The content of a regular file of at most so many bytes, as long as it was when it was opened. A pipe is not waited for, and a device
 * that has no end is not read.
 */
export const readRegularFile = async (path: string | Buffer, limitBytes: number): Promise<Uint8Array> => {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Malformed({ message: "expected a regular file, found something else" })
    if (found.size > limitBytes) {
      throw new InitramfsError({ reason: new TooLarge({ what: String(path), limitBytes, foundBytes: found.size }) })
    }
    const content = new Uint8Array(found.size)
    let at = 0
    while (at < content.length) {
      const { bytesRead } = await file.read(content, at, content.length - at, at)
      if (bytesRead === 0) throw new Malformed({ message: `expected ${content.length} bytes, found ${at} and its end` })
      at += bytesRead
    }
    return content
  } finally {
    await file.close()
  }
}
