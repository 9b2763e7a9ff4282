/** Rebuilds the disks of snapshots from nothing but the drawing of their format. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs"
import { join } from "node:path"

const pageBytes = 4096
const chunkPages = 4
const headBytes = 24
const digestBytes = 32
const fillingBytes = 9

/** Writes what disk number `number` of a snapshot that stands alone holds into a file, behind which there is nothing else. */
export const writeCapturedDisk = (snapshot: string, number: number, sizeBytes: number, target: string): void => {
  const pages = readFileSync(join(snapshot, `disk-${number}.bin`))
  const table = readFileSync(join(snapshot, `disk-${number}.digests`))
  const pageCount = Math.ceil(sizeBytes / pageBytes)
  const isHeld = (page: number): boolean => (((table[headBytes + (page >> 3)] ?? 0) >> (page % 8)) & 1) === 1
  const file = openSync(target, "w", 0o600)
  try {
    ftruncateSync(file, sizeBytes)
    const chunks = new Set<number>()
    for (let page = 0; page < pageCount; page++) {
      if (!isHeld(page)) continue
      chunks.add(Math.floor(page / chunkPages))
      writeSync(file, pages, page * pageBytes, pageBytes, page * pageBytes)
    }
    // Behind the digests stand the pages that are all one byte.
    let at = headBytes + Math.ceil(pageCount / 8) + chunks.size * digestBytes
    const fillings = table.readUInt32LE(at)
    at += 4
    for (let filling = 0; filling < fillings; filling++, at += fillingBytes) {
      const [first, count, byte] = [table.readUInt32LE(at), table.readUInt32LE(at + 4), table.readUInt8(at + 8)]
      writeSync(file, Buffer.alloc(count * pageBytes, byte), 0, count * pageBytes, first * pageBytes)
    }
    if (at !== table.length) throw new Error(`expected ${at} bytes of digests, found ${table.length}`)
  } finally {
    closeSync(file)
  }
}
