/**
 * File operations on the host's disk.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto"
import { constants } from "node:fs"
import * as Fs from "node:fs/promises"
import { join, resolve } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, FileStatus, MakeOptions } from "./DurableFilesShape.ts"
import { FileFault, FileUnfit } from "./FileErrors.ts"
import { holdFile } from "./holdFile.ts"
import { readRegular, readRegularFile } from "./readRegular.ts"
import { codeOf } from "./systemCode.ts"
import { stampOf } from "./fileStamps.ts"

/** An interrupted operation is awaited until the system ends it, so that no file stays open. */
export const attempt = <A>(operation: string, path: string, run: () => Promise<A>): Effect.Effect<A, FileFault> =>
  Effect.uninterruptible(
    Effect.tryPromise({ try: run, catch: (cause) => new FileFault({ operation, path, code: codeOf(cause) }) })
  )

const attemptReading = <A>(operation: string, path: string, run: () => Promise<A>) =>
  Effect.uninterruptible(
    Effect.tryPromise({
      try: run,
      catch: (cause) => (cause instanceof FileUnfit ? cause : new FileFault({ operation, path, code: codeOf(cause) }))
    })
  )

/** File systems without modes of their own say so; there is nothing to be kept private there. */
const withoutModes: ReadonlySet<string> = new Set(["EPERM", "ENOTSUP", "EINVAL", "ENOSYS"])

/** Gives a file its mode regardless of the umask. */
const setMode = async (target: Pick<Fs.FileHandle, "chmod">, mode: number): Promise<void> => {
  try {
    await target.chmod(mode)
  } catch (cause) {
    if (!withoutModes.has(codeOf(cause))) throw cause
  }
}

const makeDirectory = async (path: string, { readers = "owner" }: MakeOptions = {}): Promise<boolean> => {
  try {
    await Fs.mkdir(path, { mode: readers === "owner" ? 0o700 : 0o755 })
  } catch (cause) {
    if (codeOf(cause) === "EEXIST") return false
    throw cause
  }
  if (readers === "owner") await setMode({ chmod: (mode) => Fs.chmod(path, mode) }, 0o700)
  return true
}

const writeFile = async (path: string, bytes: Uint8Array, { readers = "owner" }: MakeOptions = {}): Promise<void> => {
  const handle = await Fs.open(path, "wx", readers === "owner" ? 0o600 : 0o644)
  try {
    if (readers === "owner") await setMode(handle, 0o600)
    await handle.writeFile(bytes)
  } finally {
    await handle.close()
  }
}

const syncPath = async (path: string): Promise<void> => {
  const handle = await Fs.open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Errors of file systems that cannot flush a directory, such as some network file systems. */
const cannotFlushDirectories: ReadonlySet<string> = new Set(["EINVAL", "ENOTSUP", "ENOSYS"])

const syncDirectory = async (path: string): Promise<void> => {
  const handle = await Fs.open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } catch (cause) {
    if (!cannotFlushDirectories.has(codeOf(cause))) throw cause
  } finally {
    await handle.close()
  }
}

const isNothing = (cause: unknown): boolean => codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR"

const inspectPath = async (path: string): Promise<FileStatus | null> => {
  try {
    const found = await Fs.lstat(path)
    const kind = found.isFile() ? "file" : found.isDirectory() ? "directory" : found.isSymbolicLink() ? "link" : "other"
    const { nlink: links, size: sizeBytes, uid: userId } = found
    return { kind, sizeBytes, inode: String(found.ino), device: String(found.dev), userId, links }
  } catch (cause) {
    if (isNothing(cause)) return null
    throw cause
  }
}

const removeEmptyDirectory = async (path: string): Promise<boolean> => {
  try {
    await Fs.rmdir(path)
    return true
  } catch (cause) {
    if (["ENOTEMPTY", "EEXIST", "ENOTDIR", "ENOENT", "EBUSY"].includes(codeOf(cause))) return false
    throw cause
  }
}

const admitsNames = async (path: string): Promise<void> => {
  // A path through a file that ends in it is none of a directory.
  await Fs.access(`${path}/.`, constants.W_OK | constants.X_OK)
}

const readWhole = (path: string, atMostBytes: number): Promise<Uint8Array> => readRegularFile(path, atMostBytes)

const pieceBytes = 1 << 20

const digestWhole = async (path: string, atMostBytes: number) => {
  const hash = createHash("sha256")
  // No larger than the file: memory of its own for every small file is what makes the collector go through everything.
  let scratch: Uint8Array | undefined
  const sizeBytes = await readRegular(path, atMostBytes, {
    bufferOf: (left) => (scratch ??= new Uint8Array(Math.min(left, pieceBytes) + 1)),
    take: (bytes) => hash.update(bytes)
  })
  return { sha256: hash.digest("hex"), sizeBytes }
}

/** Maximum number of links that are followed on one path, as the kernel has it. */
const mostLinks = 40

/** Bytes that a path has room for, the zero byte at its end included, as the kernel has it. */
const pathBytes = 4096

const systemFailure = (code: string): Error => Object.assign(new Error(code), { code })

/** The target of a link; `null` for anything else. */
const readLink = async (path: string): Promise<string | null> => {
  try {
    return await Fs.readlink(path)
  } catch (cause) {
    if (codeOf(cause) === "EINVAL" || codeOf(cause) === "ENOENT") return null
    throw cause
  }
}

const resolveLinks = async (path: string): Promise<string> => {
  const absolute = resolve(path)
  if (Buffer.byteLength(absolute) >= pathBytes) throw systemFailure("ENAMETOOLONG")
  try {
    return await Fs.realpath(absolute)
  } catch (cause) {
    if (codeOf(cause) !== "ENOENT") throw cause
  }
  let here = "/"
  let links = 0
  const left = absolute.split("/").toReversed()
  for (let part = left.pop(); part !== undefined; part = left.pop()) {
    const next = join(here, part)
    const target = part === "" || part === "." || part === ".." ? null : await readLink(next)
    if (target === null) {
      here = next
      continue
    }
    links += 1
    if (links > mostLinks) throw systemFailure("ELOOP")
    left.push(...target.split("/").toReversed())
    if (target.startsWith("/")) here = "/"
  }
  return here
}

const removeTree = async (path: string): Promise<void> => {
  const remove = () => Fs.rm(path, { recursive: true, force: true })
  await remove().catch(async (cause: NodeJS.ErrnoException) => {
    if (cause.code !== "ENOTDIR" || cause.path === undefined) throw cause
    // A file that cannot be unlinked is tried as a directory, and that error is reported, because it names the obstacle.
    await Fs.unlink(cause.path)
    await remove()
  })
}

/** The host's files. */
export const hostFiles: DurableFilesShape = {
  makeDirectory: (path, options) => attempt("makeDirectory", path, () => makeDirectory(path, options)),
  write: (path, bytes, options) => attempt("write", path, () => writeFile(path, bytes, options)),
  flush: (path) => attempt("flush", path, () => syncPath(path)),
  flushDirectory: (path) => attempt("flushDirectory", path, () => syncDirectory(path)),
  rename: (from, to) => attempt("rename", from, () => Fs.rename(from, to)),
  link: (from, to) => attempt("link", to, () => Fs.link(from, to)),
  removeTree: (path) => attempt("removeTree", path, () => removeTree(path)),
  removeEmptyDirectory: (path) => attempt("removeEmptyDirectory", path, () => removeEmptyDirectory(path)),
  list: (path) => attempt("list", path, () => Fs.readdir(path).then((names) => names.toSorted())),
  read: (path, atMostBytes) => attemptReading("read", path, () => readWhole(path, atMostBytes)),
  digest: (path, atMostBytes) => attemptReading("digest", path, () => digestWhole(path, atMostBytes)),
  inspect: (path) => attempt("inspect", path, () => inspectPath(path)),
  stamp: (followed, read, inspected) => Effect.sync(() => stampOf(followed, read, inspected)),
  admitsNames: (path) => attempt("make", path, () => admitsNames(path)),
  resolve: (path) => attempt("resolve", path, () => resolveLinks(path)),
  hold: holdFile,
  uniqueName: Effect.sync(() => randomBytes(16).toString("hex"))
}
