/**
 * A folder of the host with everything in it, as entries of a guest's root.
 *
 * @module
 */
import { Effect } from "effect"
import type { BigIntStats } from "node:fs"
import { lstat, readdir, readlink } from "node:fs/promises"
import type { CpioEntry } from "./cpio.ts"
import { GuestPathRefused, HostFileUnreadable, InitramfsError, TooLarge } from "./InitramfsError.ts"
import { Malformed } from "../Malformed.ts"
import { readHostFile } from "./readHostFile.ts"

const none = new Uint8Array()
const separator = Buffer.from("/")

const kinds = [
  ["isFile", "file"],
  ["isDirectory", "directory"],
  ["isSymbolicLink", "symlink"],
  ["isCharacterDevice", "characterDevice"],
  ["isBlockDevice", "blockDevice"],
  ["isFIFO", "fifo"],
  ["isSocket", "socket"]
] as const

const kindOf = (status: BigIntStats): CpioEntry["kind"] => kinds.find(([is]) => status[is]())?.[1] ?? "file"

/** Major and minor number, as Linux packs them into one (`makedev(3)`). */
const deviceOf = (number: bigint): readonly [number, number] => [
  Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn)),
  Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n))
]

const unreadable = (path: string, cause: unknown) =>
  new InitramfsError({
    reason: new HostFileUnreadable({ path, detail: cause instanceof Error ? cause.message : String(cause) })
  })

/**
 * The folder at `root` and its contents, named by paths below it; the folder's own name is empty. Owners, modes, links, devices
 * and hard links are kept; times and extended attributes are not. `isTaken` selects the wanted paths, folders before their
 * contents.
 */
export const readTree = (
  root: string,
  isTaken: (path: string) => boolean,
  limitBytes: number
): Effect.Effect<ReadonlyArray<CpioEntry>, InitramfsError> => {
  const entries: Array<CpioEntry> = []
  const seen = new Set<string>()
  let sizeBytes = 0n
  const visit = async (host: Buffer, path: string): Promise<void> => {
    const status = await lstat(host, { bigint: true })
    const kind = kindOf(status)
    if (path === "" && kind !== "directory") throw new Malformed({ message: "expected a folder" })
    const identity = `${status.dev}:${status.ino}`
    const isFirst = !seen.has(identity)
    let content: Uint8Array = none
    if (kind === "symlink") content = await readlink(host, { encoding: "buffer" })
    if (kind === "file" && isFirst) {
      sizeBytes += status.size
      if (sizeBytes > limitBytes) {
        const reason = new TooLarge({ what: `the files of ${root}`, limitBytes, foundBytes: Number(sizeBytes) })
        throw new InitramfsError({ reason })
      }
      content = await readHostFile(host, limitBytes)
    }
    const sameFile = kind !== "directory" && status.nlink > 1n ? { sameFile: identity } : {}
    if (kind !== "directory" && status.nlink > 1n) seen.add(identity)
    entries.push({
      path,
      kind,
      mode: Number(status.mode & 0o7777n),
      content: new Uint8Array(content),
      device: kind === "characterDevice" || kind === "blockDevice" ? deviceOf(status.rdev) : [0, 0],
      owner: [Number(status.uid), Number(status.gid)],
      ...sameFile
    })
    if (kind !== "directory") return
    const names = await readdir(host, { encoding: "buffer" })
    for (const name of names.sort(Buffer.compare)) {
      const text = name.toString("utf8")
      const below = path === "" ? text : `${path}/${text}`
      if (!Buffer.from(text).equals(name)) {
        const reason = new GuestPathRefused({ path: below, why: `its name under ${root} is not UTF-8` })
        throw new InitramfsError({ reason })
      }
      if (isTaken(below)) await visit(Buffer.concat([host, separator, name]), below)
    }
  }
  return Effect.tryPromise({
    try: () => visit(Buffer.from(root), "").then(() => entries),
    catch: (cause) => (cause instanceof InitramfsError ? cause : unreadable(root, cause))
  })
}
