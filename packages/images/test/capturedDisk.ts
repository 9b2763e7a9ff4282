/** Rebuilds the disks of snapshots from nothing but the drawing of their format. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs"
import { join } from "node:path"

const pageBytes = 4096
const chunkPages = 4
const chunkBytes = chunkPages * pageBytes
const headBytes = 24
const digestBytes = 32
const fillingBytes = 9

/** Writes what disk number `number` of a snapshot that stands alone holds into a file, behind which there is nothing else. */
export const writeCapturedDisk = (snapshot: string, number: number, sizeBytes: number, target: string): void => {
  const table = readFileSync(join(snapshot, `disk-${number}.digests`))
  let at = headBytes
  const u32 = (): number => {
    at += 4
    return table.readUInt32LE(at - 4)
  }
  // The objects, then the runs of slots in them, which hold the chunks one after the other.
  const objects = Array.from({ length: u32() }, () => {
    const name = table.toString("hex", at, at + digestBytes)
    at += digestBytes + 4
    return readFileSync(join(snapshot, name))
  })
  const slots = Array.from({ length: u32() }, () => ({ object: u32(), slot: u32(), count: u32() })).flatMap(
    ({ count, object, slot }) =>
      Array.from({ length: count }, (_, index) =>
        (objects[object] ?? Buffer.alloc(0)).subarray((slot + index) * chunkBytes, (slot + index + 1) * chunkBytes)
      )
  )
  const held = table.subarray(at)
  const pageCount = Math.ceil(sizeBytes / pageBytes)
  const isHeld = (page: number): boolean => (((held[page >> 3] ?? 0) >> (page % 8)) & 1) === 1
  const file = openSync(target, "w", 0o600)
  try {
    ftruncateSync(file, sizeBytes)
    const chunks = new Set<number>()
    for (let page = 0; page < pageCount; page++) {
      if (!isHeld(page)) continue
      chunks.add(Math.floor(page / chunkPages))
      const chunk = slots[chunks.size - 1] ?? Buffer.alloc(0)
      writeSync(file, chunk, (page % chunkPages) * pageBytes, pageBytes, page * pageBytes)
    }
    // Behind the digests stand the pages that are all one byte.
    if (chunks.size !== slots.length) throw new Error(`expected ${chunks.size} chunks, found ${slots.length}`)
    at += Math.ceil(pageCount / 8) + chunks.size * digestBytes
    const fillings = u32()
    for (let filling = 0; filling < fillings; filling++, at += fillingBytes) {
      const [first, count, byte] = [table.readUInt32LE(at), table.readUInt32LE(at + 4), table.readUInt8(at + 8)]
      writeSync(file, Buffer.alloc(count * pageBytes, byte), 0, count * pageBytes, first * pageBytes)
    }
    if (at !== table.length) throw new Error(`expected ${at} bytes of digests, found ${table.length}`)
  } finally {
    closeSync(file)
  }
}
