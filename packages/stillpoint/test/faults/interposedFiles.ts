/**
 * Every call that this process makes of the file system, each of which can fail, be done in part, or be the last; and a log of what they
 * changed, from which {@link crashed} makes what a disk may hold that lost power meanwhile.
 *
 * The calls are those of `node:fs/promises`, of its handles, and of `node:fs` where the store locks: everything in TypeScript that
 * touches a file goes through them.
 *
 * @module
 */
import * as Fs from "node:fs"
import { createRequire, syncBuiltinESMExports } from "node:module"
import { basename, dirname, join, resolve } from "node:path"

/** The fault: an error without effect, a part of the operation, or the end of this and all further operations. */
export type Fault = "EIO" | "ENOSPC" | "short" | "kill"
export const faults: ReadonlyArray<Fault> = ["EIO", "ENOSPC", "short", "kill"]

type Change =
  | {
      readonly do: "name"
      readonly dir: number
      readonly name: string
      readonly inode: number
      readonly isDirectory: boolean
    }
  | { readonly do: "unname"; readonly dir: number; readonly name: string }
  | {
      readonly do: "rename"
      readonly from: number
      readonly name: string
      readonly to: number
      readonly as: string
      readonly inode: number
    }
  | { readonly do: "write"; readonly inode: number; readonly at: number; readonly bytes: Uint8Array }
  | { readonly do: "resize"; readonly inode: number; readonly size: number }
  | { readonly do: "flush"; readonly inode: number }

/** The content of a disk: directories by their names, files by their bytes. */
interface Disk {
  readonly directories: Map<number, Map<string, number>>
  readonly files: Map<number, Uint8Array>
}

/** The changes in a folder, in the order of the calls. */
export interface Recording {
  readonly before: Disk
  readonly changes: Array<Change>
}

const rootInode = 0
let inodes = rootInode

/** The current operation. */
const state: {
  folder: string
  calls: number
  fault: { readonly at: number; readonly kind: Fault } | null
  isDead: boolean
  recording: Recording | null
  /** Inodes of paths, while they are recorded. */
  live: Map<string, number>
} = { folder: "", calls: 0, fault: null, isDead: false, recording: null, live: new Map() }

const failure = (code: string): Error => Object.assign(new Error(`${code}: injected`), { code })

/** Whether a call is done, or done in part; throws where it fails. */
const admitted = (): "done" | "short" => {
  if (state.isDead) throw failure("EIO")
  const { fault } = state
  if (fault === null || state.calls++ !== fault.at) return "done"
  if (fault.kind === "short") return "short"
  if (fault.kind === "kill") state.isDead = true
  throw failure(fault.kind === "kill" ? "EIO" : fault.kind)
}

const isInside = (path: unknown): path is string => typeof path === "string" && resolve(path).startsWith(state.folder)

const noted = (change: Change): void => void state.recording?.changes.push(change)

const place = (path: string) => ({ dir: state.live.get(dirname(path)) ?? -1, name: basename(path) })

const named = (path: string, isDirectory = false, inode = ++inodes): void => {
  if (state.recording === null || state.live.has(path)) return
  state.live.set(path, inode)
  noted({ do: "name", ...place(path), inode, isDirectory })
}

const removed = (path: string): void => {
  if (state.recording === null) return
  // The deepest entries first.
  const under = [...state.live.keys()].filter((one) => one === path || one.startsWith(`${path}/`))
  for (const one of under.toSorted((a, b) => b.length - a.length)) {
    noted({ do: "unname", ...place(one) })
    state.live.delete(one)
  }
}

const renamed = (from: string, to: string): void => {
  if (state.recording === null) return
  const [old, target] = [place(from), place(to)]
  noted({
    do: "rename",
    from: old.dir,
    name: old.name,
    to: target.dir,
    as: target.name,
    inode: state.live.get(from) ?? -1
  })
  for (const [path, inode] of new Map(state.live)) {
    if (path !== from && !path.startsWith(`${from}/`)) continue
    state.live.delete(path)
    state.live.set(to + path.slice(from.length), inode)
  }
}

const require = createRequire(import.meta.url)
type Call = (...args: Array<never>) => unknown
const promises = require("node:fs/promises") as Record<string, Call>
const sync = require("node:fs") as Record<string, Call>

const handles = new WeakMap<object, string>()

/** Puts something before a function of an object. */
const before = (
  object: Record<string, Call>,
  name: string,
  wrapped: (original: (...args: Array<unknown>) => unknown, self: unknown, args: Array<unknown>) => unknown
): void => {
  const original = object[name] as (...args: Array<unknown>) => unknown
  object[name] = function (this: unknown, ...args: Array<unknown>) {
    return wrapped((...given) => original.apply(this, given), this, args)
  } as Call
}

const onPath = (name: string, done: (path: string, result: unknown, args: ReadonlyArray<unknown>) => void): void =>
  before(promises, name, async (original, _self, args) => {
    const [path] = args
    if (!isInside(path)) return original(...args)
    // An operation without parts cannot be done in part.
    if (admitted() === "short") throw failure("EIO")
    const result = await original(...args)
    done(path, result, args)
    return result
  })

const ignore = (): void => {}

const onHandles = (prototype: Record<string, Call>): void => {
  const onHandle = (
    name: string,
    short: (original: (...args: Array<unknown>) => unknown, args: ReadonlyArray<unknown>) => unknown,
    done: (inode: number, args: ReadonlyArray<unknown>, result: unknown) => void
  ): void =>
    before(prototype, name, async (original, self, args) => {
      const path = handles.get(self as object)
      if (path === undefined) return original(...args)
      const inode = state.live.get(path) ?? -1
      if (admitted() === "short") return short(original, args)
      const result = await original(...args)
      done(inode, args, result)
      return result
    })
  const fails = (): never => {
    throw failure("EIO")
  }
  const half = (value: unknown): number => Math.floor(Number(value) / 2)
  onHandle("chmod", fails, ignore)
  onHandle("stat", fails, ignore)
  onHandle("sync", fails, (inode) => noted({ do: "flush", inode }))
  onHandle("truncate", fails, (inode, [size]) => noted({ do: "resize", inode, size: Number(size) }))
  onHandle(
    "read",
    (original, [buffer, offset, length, at]) => original(buffer, offset, Math.max(1, half(length)), at),
    ignore
  )
  onHandle(
    "write",
    (original, [buffer, offset, length, at]) => original(buffer, offset, Math.max(1, half(length)), at),
    (inode, [buffer, offset, length, at]) => {
      const bytes = (buffer as Uint8Array).slice(Number(offset), Number(offset) + Number(length))
      noted({ do: "write", inode, at: Number(at), bytes })
    }
  )
  onHandle(
    "writeFile",
    async (original, [bytes]) => {
      await original((bytes as Uint8Array).subarray(0, half((bytes as Uint8Array).length)))
      throw failure("ENOSPC")
    },
    (inode, [bytes]) => noted({ do: "write", inode, at: 0, bytes: (bytes as Uint8Array).slice() })
  )
}

let isInterposed = false

/** Stands between this process and its files from now on; without a plan nothing is changed. */
export const interpose = async (): Promise<void> => {
  if (isInterposed) return
  isInterposed = true
  const handle = await Fs.promises.open("/dev/null", "r")
  onHandles(Object.getPrototypeOf(handle) as Record<string, Call>)
  await handle.close()
  before(promises, "open", async (original, _self, args) => {
    const [path] = args
    if (!isInside(path)) return original(...args)
    if (admitted() === "short") throw failure("EIO")
    const isThere = Fs.existsSync(path)
    const opened = (await original(...args)) as object
    handles.set(opened, path)
    if (!isThere) named(path)
    return opened
  })
  onPath("mkdir", (path) => named(path, true))
  onPath("rename", (path, _result, [, to]) => renamed(path, String(to)))
  onPath("link", (path, _result, [, to]) => named(String(to), false, state.live.get(path)))
  for (const name of ["rm", "rmdir", "unlink"]) onPath(name, removed)
  for (const name of ["lstat", "stat", "readdir", "readFile", "chmod", "realpath", "access"]) onPath(name, ignore)
  // The files of locks are made and looked at so.
  for (const name of ["openSync", "lstatSync", "chmodSync"]) {
    before(sync, name, (original, _self, args) => {
      const [path, flag] = args
      if (!isInside(path)) return original(...args)
      if (admitted() === "short") throw failure("EIO")
      const result = original(...args)
      if (flag === "wx") named(path)
      return result
    })
  }
  syncBuiltinESMExports()
}

/** Runs an operation in a folder, with or without a fault at one of its calls; returns the number of calls, and the result. */
export const withFault = async <A>(
  folder: string,
  fault: { readonly at: number; readonly kind: Fault } | null,
  work: () => Promise<A>
): Promise<{ readonly calls: number; readonly isHit: boolean; readonly result: A }> => {
  Object.assign(state, { folder, calls: 0, fault: fault ?? { at: -1, kind: "EIO" }, isDead: false })
  try {
    const result = await work()
    return { calls: state.calls, isHit: fault !== null && (state.isDead || state.calls > fault.at), result }
  } finally {
    Object.assign(state, { folder: "\0", fault: null, isDead: false })
  }
}

const scan = (folder: string): { readonly disk: Disk; readonly live: Map<string, number> } => {
  const disk: Disk = { directories: new Map([[rootInode, new Map()]]), files: new Map() }
  const live = new Map([[folder, rootInode]])
  const files = new Map<number, number>()
  const enter = (path: string, inode: number): void => {
    for (const entry of Fs.readdirSync(path, { withFileTypes: true })) {
      const inside = join(path, entry.name)
      const { ino } = Fs.lstatSync(inside)
      // A file with several names is one.
      const id = files.get(ino) ?? ++inodes
      if (entry.isFile()) files.set(ino, id)
      live.set(inside, id)
      disk.directories.get(inode)?.set(entry.name, id)
      if (entry.isDirectory()) {
        disk.directories.set(id, new Map())
        enter(inside, id)
      } else disk.files.set(id, Fs.readFileSync(inside))
    }
  }
  enter(folder, rootInode)
  return { disk, live }
}

/** Records what is done in a folder. */
export const recorded = async <A>(folder: string, work: () => Promise<A>): Promise<Recording> => {
  const { disk, live } = scan(folder)
  const recording: Recording = { before: disk, changes: [] }
  Object.assign(state, { folder, recording, live })
  await withFault(folder, null, work)
  Object.assign(state, { recording: null })
  return recording
}

/** What a file says where its directory has another inode than on the disk that is simulated, which a copy of one would have. */
const onThisDisk = (directory: string, name: string, bytes: Uint8Array): Uint8Array => {
  if (name !== "owner.json") return bytes
  const { ino } = Fs.statSync(directory, { bigint: true })
  return Buffer.from(
    Buffer.from(bytes)
      .toString()
      .replace(/"inode":"\d+"/, `"inode":"${ino}"`)
  )
}

/**
 * Makes, in an empty folder, what may be on the disk after so many changes and a loss of power: what was flushed, and of all else what
 * `survives` says, one by one, in whatever order it reached the disk.
 */
export const crashed = (
  { before: start, changes }: Recording,
  after: number,
  folder: string,
  survives: () => boolean
): void => {
  const disk: Disk = {
    directories: new Map([...start.directories].map(([inode, names]) => [inode, new Map(names)])),
    files: new Map(start.files)
  }
  const done = changes.slice(0, after)
  for (const change of changes) {
    if (change.do === "name" && change.isDirectory) disk.directories.set(change.inode, new Map())
  }
  const flushedAfter = (index: number, inodes: ReadonlyArray<number>): boolean =>
    done.some((one, at) => at > index && one.do === "flush" && inodes.includes(one.inode))
  for (const [index, change] of done.entries()) {
    switch (change.do) {
      case "flush":
        break
      case "name": {
        // A file that is flushed has its name: so it is on every file system of Linux.
        if (!flushedAfter(index, [change.dir, change.inode]) && !survives()) break
        disk.directories.get(change.dir)?.set(change.name, change.inode)
        break
      }
      case "unname":
        if (flushedAfter(index, [change.dir]) || survives()) disk.directories.get(change.dir)?.delete(change.name)
        break
      case "rename": {
        const isFlushed = flushedAfter(index, [change.from, change.to])
        const isThere = disk.directories.get(change.from)?.get(change.name) === change.inode
        if (!isFlushed && !(isThere && survives())) break
        disk.directories.get(change.from)?.delete(change.name)
        disk.directories.get(change.to)?.set(change.as, change.inode)
        break
      }
      case "write":
      case "resize": {
        if (!flushedAfter(index, [change.inode]) && !survives()) break
        const old = disk.files.get(change.inode) ?? new Uint8Array(0)
        const size = change.do === "resize" ? change.size : Math.max(old.length, change.at + change.bytes.length)
        const bytes = new Uint8Array(size)
        bytes.set(old.subarray(0, size))
        if (change.do === "write") bytes.set(change.bytes, change.at)
        disk.files.set(change.inode, bytes)
      }
    }
  }
  const write = (path: string, inode: number): void => {
    for (const [name, inside] of disk.directories.get(inode) ?? []) {
      const at = join(path, name)
      if (disk.directories.has(inside)) {
        Fs.mkdirSync(at, { mode: 0o700 })
        write(at, inside)
      } else Fs.writeFileSync(at, onThisDisk(path, name, disk.files.get(inside) ?? new Uint8Array(0)), { mode: 0o600 })
    }
  }
  write(folder, rootInode)
}
