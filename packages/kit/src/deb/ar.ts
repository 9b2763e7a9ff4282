/**
 * Finds members of a `.deb` file, which is an `ar` archive.
 *
 * ```text
 * "!<arch>\n"
 * name 16 | mtime 12 | uid 6 | gid 6 | mode 8 | size 10, decimal | "`\n"     then the content, padded to even
 * …
 * ```
 *
 * Source: deb(5).
 *
 * @module
 */
import { open } from "node:fs/promises"
import { Malformed } from "../Malformed.ts"

/** The place of a member's content in the file. */
export interface ArMember {
  readonly name: string
  readonly offset: number
  readonly sizeBytes: number
}

const magic = "!<arch>\n"
const headerBytes = 60
/** A `.deb` has three members, or a few more that begin with an underscore. */
const membersMax = 64

/** The members of the archive at `path`, in order. Throws {@link Malformed} with the problem. */
export const readArMembers = async (path: string): Promise<ReadonlyArray<ArMember>> => {
  const file = await open(path)
  try {
    const { size } = await file.stat()
    const header = Buffer.alloc(headerBytes)
    await file.read(header, 0, magic.length, 0)
    if (header.toString("latin1", 0, magic.length) !== magic)
      throw new Malformed({ message: "expected an ar archive, found none" })
    const members: Array<ArMember> = []
    for (let at = magic.length; at < size && members.length < membersMax;) {
      const { bytesRead } = await file.read(header, 0, headerBytes, at)
      const text = header.toString("latin1", 0, bytesRead)
      const length = /^[0-9]{1,10} *$/.test(text.slice(48, 58)) ? Number(text.slice(48, 58)) : Number.NaN
      if (bytesRead < headerBytes || text.slice(58) !== "`\n" || !(at + headerBytes + length <= size)) {
        throw new Malformed({ message: `expected the header of a whole member at byte ${at}, found none` })
      }
      const name = text.slice(0, 16).trimEnd().replace(/\/$/, "")
      members.push({ name, offset: at + headerBytes, sizeBytes: length })
      at += headerBytes + length + (length % 2)
    }
    return members
  } finally {
    await file.close()
  }
}
