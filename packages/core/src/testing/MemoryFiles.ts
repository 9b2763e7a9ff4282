/**
 * Files in memory that lose, on a crash, what a real file system may lose.
 *
 * Names follow an ordered metadata journal: after a crash, a prefix of the changes since the last directory flush is there.
 * Contents that were not flushed are complete, truncated, or missing; the test chooses.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { dirname, resolve } from "node:path"
import { Effect, Layer } from "effect"
import { DurableFiles, type DurableFilesShape, type HoldOutcome } from "../files/DurableFiles.ts"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { apply, type Change, type Inode, touches, type Tree, under } from "./memoryTree.ts"

/** The fault at the n-th changing operation (0, 1, 2 …), or at the n-th read. */
export interface InjectedFault {
  readonly atOperation: number
  /**
   * `crash`: this and every later operation fails until a reboot. `short`: the n-th read of a file silently returns less than is
   * there. Anything else: the system's error code.
   */
  readonly code: "crash" | "short" | "ENOSPC" | "EIO" | "EROFS" | "EACCES"
}

/** A file system in memory with faults. */
export class MemoryFiles {
  #live: Tree = new Map()
  #durable: Tree = new Map()
  #pending: Array<Change> = []
  #operations = 0
  #suffix = 0
  #inodes = 0
  #isDown = false
  #reads = 0
  #faults: ReadonlyArray<InjectedFault>
  #lastFault: FileFault | null = null
  /** Locked files, by inode and not by name. */
  readonly #held = new Set<Inode>()

  constructor(fault: InjectedFault | null = null) {
    this.#faults = fault === null ? [] : [fault]
  }

  /** Changing operations so far. */
  get operations(): number {
    return this.#operations
  }

  /** Files that were read so far. */
  get reads(): number {
    return this.#reads
  }

  /** Whether the injected crash has happened. */
  get isDown(): boolean {
    return this.#isDown
  }

  /** The fault that was injected, once it has happened. */
  get lastFault(): FileFault | null {
    return this.#lastFault
  }

  /** Makes operations to come go wrong. */
  injectFault(...faults: ReadonlyArray<InjectedFault>): void {
    this.#faults = faults
  }

  /** Paths of everything that stands, sorted. */
  paths(): ReadonlyArray<string> {
    return [...this.#live.keys()].toSorted()
  }

  /** Changes the bytes of a file in place, as damage would. */
  alter(path: string, change: (bytes: Uint8Array) => Uint8Array): void {
    const entry = this.#live.get(path)
    if (entry?.kind === "file") entry.inode.data = change(entry.inode.data)
  }

  /**
   * Loses power and starts again. `choose(n)` picks one of n outcomes each time something may or may not have survived.
   */
  reboot(choose: (outcomes: number) => number): void {
    const kept = choose(this.#pending.length + 1)
    for (const change of this.#pending.slice(0, kept)) apply(this.#durable, change)
    this.#pending = []
    this.#live = new Map()
    for (const [path, entry] of this.#durable) {
      if (entry.kind === "file" && entry.inode.data !== entry.inode.durable) {
        const outcome = choose(3)
        const { data, durable } = entry.inode
        const survived = outcome === 0 ? durable : outcome === 1 ? data.slice(0, choose(data.length + 1)) : data
        const inode = { number: entry.inode.number, data: survived, durable: survived }
        this.#durable.set(path, { kind: "file", inode })
      }
    }
    for (const [path, entry] of this.#durable) this.#live.set(path, entry)
    this.#isDown = false
    this.#faults = []
    this.#held.clear()
  }

  #change(change: Change): void {
    apply(this.#live, change)
    this.#pending.push(change)
  }

  /** Runs a changing operation; an injected fault happens after a part of it that `partly` does. */
  #changing(
    operation: string,
    path: string,
    run: () => string | null,
    partly: () => void
  ): Effect.Effect<void, FileFault> {
    return Effect.suspend(() => {
      if (this.#isDown) return Effect.fail(new FileFault({ operation, path, code: "crash" }))
      const fault = this.#faults.find(({ atOperation, code }) => code !== "short" && atOperation === this.#operations)
      this.#operations += 1
      if (fault !== undefined) {
        if (fault.code === "crash") {
          this.#isDown = true
          run()
        } else {
          partly()
        }
        this.#lastFault = new FileFault({ operation, path, code: fault.code })
        return Effect.fail(this.#lastFault)
      }
      const code = run()
      return code === null ? Effect.void : Effect.fail(new FileFault({ operation, path, code }))
    })
  }

  #reading<A>(operation: string, path: string, run: () => A | string): Effect.Effect<A, FileFault> {
    return Effect.suspend(() => {
      if (this.#isDown) return Effect.fail(new FileFault({ operation, path, code: "crash" }))
      const found = run()
      return typeof found === "string"
        ? Effect.fail(new FileFault({ operation, path, code: found }))
        : Effect.succeed(found)
    })
  }

  #isDirectory(path: string): boolean {
    return path === dirname(path) || this.#live.get(path)?.kind === "directory"
  }

  #holds(path: string): boolean {
    return [...this.#live.keys()].some((other) => other !== path && under(other, path))
  }

  #makeDirectory(path: string): string | null {
    if (!this.#isDirectory(dirname(path))) return "ENOENT"
    this.#change({ kind: "create", path, entry: { kind: "directory", inode: { number: ++this.#inodes } } })
    return null
  }

  #write(path: string, bytes: Uint8Array): string | null {
    if (this.#live.has(path)) return "EEXIST"
    if (!this.#isDirectory(dirname(path))) return "ENOENT"
    this.#change({
      kind: "create",
      path,
      entry: {
        kind: "file",
        inode: { number: ++this.#inodes, data: bytes.slice(), durable: new Uint8Array(0) }
      }
    })
    return null
  }

  #flushDirectory(path: string): string | null {
    if (!this.#isDirectory(path)) return "ENOENT"
    const last = this.#pending.findLastIndex((change) => touches(change, path))
    for (const change of this.#pending.splice(0, last + 1)) apply(this.#durable, change)
    return null
  }

  #rename(from: string, to: string): string | null {
    const moved = this.#live.get(from)
    if (moved === undefined || !this.#isDirectory(dirname(to))) return "ENOENT"
    const standing = this.#live.get(to)
    if (standing !== undefined && standing.kind !== moved.kind) {
      return standing.kind === "directory" ? "EISDIR" : "ENOTDIR"
    }
    if (this.#holds(to)) return "ENOTEMPTY"
    this.#change({ kind: "rename", from, to })
    return null
  }

  #link(from: string, to: string): string | null {
    const entry = this.#live.get(from)
    if (entry === undefined || !this.#isDirectory(dirname(to))) return "ENOENT"
    if (this.#live.has(to)) return "EEXIST"
    if (entry.kind !== "file") return "EPERM"
    this.#change({ kind: "create", path: to, entry })
    return null
  }

  /** The operations, as the port wants them. */
  readonly shape: DurableFilesShape = {
    makeDirectory: (path) =>
      Effect.suspend(() =>
        this.#live.has(path) && !this.#isDown
          ? Effect.succeed(false)
          : Effect.as(
              this.#changing(
                "makeDirectory",
                path,
                () => this.#makeDirectory(path),
                () => {}
              ),
              true
            )
      ),
    write: (path, bytes) =>
      this.#changing(
        "write",
        path,
        () => this.#write(path, bytes),
        () => {
          this.#write(path, bytes.subarray(0, Math.floor(bytes.length / 2)))
        }
      ),
    flush: (path) =>
      this.#changing(
        "flush",
        path,
        () => {
          const entry = this.#live.get(path)
          if (entry === undefined) return "ENOENT"
          if (entry.kind === "file") entry.inode.durable = entry.inode.data
          return null
        },
        () => {}
      ),
    flushDirectory: (path) =>
      this.#changing(
        "flushDirectory",
        path,
        () => this.#flushDirectory(path),
        () => {}
      ),
    rename: (from, to) =>
      this.#changing(
        "rename",
        from,
        () => this.#rename(from, to),
        () => {}
      ),
    link: (from, to) =>
      this.#changing(
        "link",
        to,
        () => this.#link(from, to),
        () => {}
      ),
    removeTree: (path) =>
      this.#changing(
        "removeTree",
        path,
        () => {
          if (this.#live.has(path)) this.#change({ kind: "remove", path })
          return null
        },
        () => {}
      ),
    list: (path) =>
      this.#reading("list", path, () =>
        this.#live.get(path)?.kind === "directory"
          ? [...this.#live.keys()]
              .filter((name) => name !== path && dirname(name) === path)
              .map((name) => name.slice(path === "/" ? 1 : path.length + 1))
              .toSorted()
          : "ENOENT"
      ),
    read: (path, atMostBytes) => this.#readFile("read", path, atMostBytes),
    digest: (path, atMostBytes) =>
      Effect.map(this.#readFile("digest", path, atMostBytes), (bytes) => ({
        sha256: createHash("sha256").update(bytes).digest("hex"),
        sizeBytes: bytes.byteLength
      })),
    inspect: (path) =>
      Effect.map(
        this.#reading("inspect", path, () => ({ entry: this.#live.get(path) })),
        ({ entry }) =>
          entry === undefined
            ? null
            : {
                kind: entry.kind,
                sizeBytes: entry.kind === "file" ? entry.inode.data.length : 0,
                inode: String(entry.inode.number),
                device: "memory",
                userId: 0,
                links: [...this.#live.values()].filter(({ inode }) => inode === entry.inode).length
              }
      ),
    removeEmptyDirectory: (path) =>
      Effect.suspend(() =>
        !this.#isDown && (this.#live.get(path)?.kind !== "directory" || this.#holds(path))
          ? Effect.succeed(false)
          : Effect.as(
              this.#changing(
                "removeEmptyDirectory",
                path,
                () => {
                  this.#change({ kind: "remove", path })
                  return null
                },
                () => {}
              ),
              true
            )
      ),
    admitsNames: (path) =>
      Effect.asVoid(
        this.#reading("make", path, () =>
          path === "/" || this.#live.get(path)?.kind === "directory" ? { path } : "ENOTDIR"
        )
      ),
    resolve: (path) => Effect.succeed(resolve(path)),
    hold: (path, { create }) =>
      Effect.map(
        Effect.acquireRelease(this.#hold(path, create), ({ held }) =>
          Effect.sync(() => void (held !== null && this.#held.delete(held)))
        ),
        ({ outcome }) => outcome
      ),
    uniqueName: Effect.sync(() => (this.#suffix++).toString(16).padStart(32, "0"))
  }

  #readFile(operation: string, path: string, atMostBytes: number): Effect.Effect<Uint8Array, FileFault | FileUnfit> {
    return Effect.flatMap(
      this.#reading(operation, path, () => ({ entry: this.#live.get(path) })),
      ({ entry }): Effect.Effect<Uint8Array, FileFault | FileUnfit> => {
        const isShort = this.#faults.some(({ atOperation, code }) => code === "short" && atOperation === this.#reads)
        this.#reads += 1
        if (entry === undefined) return Effect.fail(new FileFault({ operation, path, code: "ENOENT" }))
        const expected = `a regular file of at most ${atMostBytes} bytes`
        if (entry.kind !== "file") return Effect.fail(new FileUnfit({ path, expected, found: "a directory" }))
        const { data } = entry.inode
        if (data.length > atMostBytes) {
          return Effect.fail(new FileUnfit({ path, expected, found: `${data.length} bytes` }))
        }
        return Effect.succeed(data.slice(0, isShort ? Math.floor(data.length / 2) : data.length))
      }
    )
  }

  #hold(
    path: string,
    create: boolean
  ): Effect.Effect<{ outcome: HoldOutcome; held: Inode | null }, FileFault | FileUnfit> {
    return Effect.suspend(() => {
      const made =
        create && !this.#live.has(path)
          ? this.#changing(
              "hold",
              path,
              () => this.#write(path, new Uint8Array(0)),
              () => {}
            )
          : this.#reading("hold", path, () => ({}))
      return Effect.map(made, () => {
        const entry = this.#live.get(path)
        if (entry?.kind !== "file") return { outcome: "absent" as const, held: null }
        if (this.#held.has(entry.inode)) return { outcome: "taken" as const, held: null }
        this.#held.add(entry.inode)
        return { outcome: "held" as const, held: entry.inode }
      })
    })
  }

  /** These files as the port's implementation. */
  get layer(): Layer.Layer<DurableFiles> {
    return Layer.succeed(DurableFiles, this.shape)
  }
}
