/**
 * The archive format of initial RAM file systems: cpio, "newc".
 *
 * ```text
 * "070701" | ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
 *            each 8 hexadecimal digits                                              = 110 bytes
 * name, NUL, padding to 4 | content, padding to 4
 * … ending with an entry named "TRAILER!!!"
 * ```
 *
 * Every field that could differ between two builds is fixed: time 0, inode numbers in order. The same entries give the same
 * bytes. Names of one file share an inode number, and the first of them has the content.
 *
 * Source: the kernel's documentation, `driver-api/early-userspace/buffer-format.rst`.
 *
 * @module
 */
import { Result } from "effect"

/** One entry; `path` has no leading slash. */
export interface CpioEntry {
  readonly path: string
  readonly kind: "file" | "directory" | "symlink" | "characterDevice" | "blockDevice" | "fifo" | "socket"
  /** Permission bits. */
  readonly mode: number
  /** A file's content, or a symbolic link's target as UTF-8; empty otherwise. */
  readonly content: Uint8Array
  /** Major and minor number of a device. */
  readonly device: readonly [major: number, minor: number]
  /** 0 and 0 if absent. */
  readonly owner?: readonly [uid: number, gid: number]
  /** Entries with the same text here are one file under several names; the first of them has its content. */
  readonly sameFile?: string
}

const typeBits = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  characterDevice: 0o020000,
  blockDevice: 0o060000,
  fifo: 0o010000,
  socket: 0o140000
} as const
const headerBytes = 110
/** The name that ends an archive. */
export const trailer = "TRAILER!!!"

const padding = (length: number): number => (4 - (length % 4)) % 4

/** The bytes that an entry takes. */
const entryBytes = (nameBytes: number, contentBytes: number): number => {
  const head = headerBytes + nameBytes + 1
  return head + padding(head) + contentBytes + padding(contentBytes)
}

/**
 * Writes the entries in the given order. A directory must come before its contents.
 *
 * @example
 * ```ts
 * import { readCpio, writeCpio } from "@stillpoint/kit"
 * import { Result } from "effect"
 *
 * const archive = writeCpio([{ path: "etc", kind: "directory", mode: 0o755, content: new Uint8Array(), device: [0, 0] }])
 * console.log(Result.getOrThrow(readCpio(archive)).map((entry) => entry.path)) // [ 'etc' ]
 * ```
 */
export const writeCpio = (entries: ReadonlyArray<CpioEntry>): Uint8Array => {
  const names = entries.map((entry) => Buffer.from(entry.path))
  let total = entryBytes(trailer.length, 0)
  for (const [i, entry] of entries.entries()) total += entryBytes(names[i]?.length ?? 0, entry.content.length)
  const archive = new Uint8Array(total)
  const text = new TextEncoder()
  let at = 0
  const write = (fields: ReadonlyArray<number>, name: Uint8Array, content: Uint8Array) => {
    const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`
    text.encodeInto(head, archive.subarray(at))
    archive.set(name, at + headerBytes)
    at += headerBytes + name.length + 1
    at += padding(at)
    archive.set(content, at)
    at += content.length
    at += padding(at)
  }
  const counts = new Map<string, number>()
  for (const { sameFile } of entries) if (sameFile !== undefined) counts.set(sameFile, (counts.get(sameFile) ?? 0) + 1)
  const inodes = new Map<string, number>()
  for (const [i, entry] of entries.entries()) {
    const name = names[i] ?? Buffer.alloc(0)
    const mode = typeBits[entry.kind] | (entry.mode & 0o7777)
    const same = entry.sameFile
    const links = entry.kind === "directory" ? 2 : same === undefined ? 1 : (counts.get(same) ?? 1)
    const inode = same === undefined ? i + 1 : (inodes.get(same) ?? i + 1)
    if (same !== undefined) inodes.set(same, inode)
    const [major, minor] = entry.device
    const [uid, gid] = entry.owner ?? [0, 0]
    write(
      [inode, mode, uid, gid, links, 0, entry.content.length, 0, 0, major, minor, name.length + 1, 0],
      name,
      entry.content
    )
  }
  write([0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, trailer.length + 1, 0], Buffer.from(trailer), new Uint8Array())
  return archive
}

/** Reads an archive back. Fails with the problem and its place. */
export const readCpio = (archive: Uint8Array): Result.Result<ReadonlyArray<CpioEntry>, string> => {
  if (!(archive instanceof Uint8Array)) return Result.fail("expected the bytes of an archive")
  const bytes = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength)
  const entries: Array<CpioEntry> = []
  for (let at = 0; ;) {
    const head = bytes.toString("latin1", at, at + headerBytes)
    if (!/^070701[0-9a-fA-F]{104}$/.test(head)) return Result.fail(`expected an entry's header at byte ${at}`)
    const field = (index: number) => Number.parseInt(head.slice(6 + 8 * index, 14 + 8 * index), 16)
    const [mode, size, nameSize] = [field(1), field(6), field(11)]
    const contentAt = at + headerBytes + nameSize + padding(at + headerBytes + nameSize)
    if (nameSize < 1 || contentAt + size > bytes.length) return Result.fail(`the entry at byte ${at} is cut off`)
    const path = bytes.toString("utf8", at + headerBytes, at + headerBytes + nameSize - 1)
    if (path === trailer) return Result.succeed(entries)
    const kind = (Object.keys(typeBits) as Array<CpioEntry["kind"]>).find(
      (name) => typeBits[name] === (mode & 0o170000)
    )
    if (kind === undefined) return Result.fail(`the entry at byte ${at} is of an unknown kind`)
    const content = new Uint8Array(bytes.subarray(contentAt, contentAt + size))
    const owner = [field(2), field(3)] as const
    entries.push({
      path,
      kind,
      mode: mode & 0o7777,
      content,
      device: [field(9), field(10)],
      ...(owner[0] === 0 && owner[1] === 0 ? {} : { owner }),
      ...(kind !== "directory" && field(4) > 1 ? { sameFile: String(field(0)) } : {})
    })
    at = contentAt + size + padding(contentAt + size)
  }
}
