/**
 * Files in memory that lose, on a crash, what a real file system may lose.
 *
 * Names follow an ordered metadata journal: after a crash a prefix of the changes since the last directory flush
 * is there. Contents that were not flushed are there whole, cut short, or not at all. Which, the test chooses.
 *
 * @module
 */
import { dirname } from "node:path"
import { Effect, Layer } from "effect"
import { DurableFiles, type DurableFilesShape, FileFault } from "../snapshot/DurableFiles.ts"

interface Inode {
  data: Uint8Array
  durable: Uint8Array
}
type Entry = { readonly kind: "directory" } | { readonly kind: "file"; readonly inode: Inode }
type Tree = Map<string, Entry>
type Change =
  | { readonly kind: "create"; readonly path: string; readonly entry: Entry }
  | { readonly kind: "rename"; readonly from: string; readonly to: string }
  | { readonly kind: "exchange"; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly path: string }

/** What goes wrong at the n-th changing operation (0, 1, 2 …). */
export interface InjectedFault {
  readonly atOperation: number
  /** `crash`: this and every later operation fails until a reboot. Anything else: the system's error code. */
  readonly code: "crash" | "ENOSPC" | "EIO" | "EROFS" | "EACCES"
}

const under = (path: string, root: string): boolean => path === root || path.startsWith(`${root}/`)

const apply = (tree: Tree, change: Change): void => {
  if (change.kind === "create") {
    tree.set(change.path, change.entry)
  } else if (change.kind === "remove") {
    for (const path of tree.keys()) if (under(path, change.path)) tree.delete(path)
  } else if (change.kind === "exchange") {
    const { from, to } = change
    const moved = Array.from(tree).filter(([path]) => under(path, from) || under(path, to))
    for (const [path] of moved) tree.delete(path)
    for (const [path, entry] of moved) {
      tree.set(under(path, from) ? to + path.slice(from.length) : from + path.slice(to.length), entry)
    }
  } else {
    for (const path of tree.keys()) if (under(path, change.to)) tree.delete(path)
    for (const [path, entry] of Array.from(tree)) {
      if (!under(path, change.from)) continue
      tree.delete(path)
      tree.set(change.to + path.slice(change.from.length), entry)
    }
  }
}

const touches = (change: Change, directory: string): boolean =>
  change.kind === "rename" || change.kind === "exchange"
    ? dirname(change.from) === directory || dirname(change.to) === directory
    : dirname(change.path) === directory

/** A file system in memory with faults. */
export class MemoryFiles {
  #live: Tree = new Map()
  #durable: Tree = new Map()
  #pending: Array<Change> = []
  #operations = 0
  #suffix = 0
  #isDown = false
  #fault: InjectedFault | null
  #lastFault: FileFault | null = null
  /** Whether directories change places in one step, as on most systems, or not at all. */
  readonly #canExchange: boolean

  constructor(fault: InjectedFault | null = null, options: { readonly canExchange?: boolean } = {}) {
    this.#fault = fault
    this.#canExchange = options.canExchange ?? true
  }

  /** Changing operations so far. */
  get operations(): number {
    return this.#operations
  }

  /** Whether the injected crash has happened. */
  get isDown(): boolean {
    return this.#isDown
  }

  /** The fault that was injected, once it has happened. */
  get lastFault(): FileFault | null {
    return this.#lastFault
  }

  /** Makes one operation to come go wrong. */
  injectFault(fault: InjectedFault): void {
    this.#fault = fault
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
        const inode = { data: survived, durable: survived }
        this.#durable.set(path, { kind: "file", inode })
      }
    }
    for (const [path, entry] of this.#durable) this.#live.set(path, entry)
    this.#isDown = false
    this.#fault = null
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
      const isFaulty = this.#fault?.atOperation === this.#operations
      this.#operations += 1
      if (isFaulty && this.#fault !== null) {
        if (this.#fault.code === "crash") {
          this.#isDown = true
          run()
        } else {
          partly()
        }
        this.#lastFault = new FileFault({ operation, path, code: this.#fault.code })
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

  #makeDirectory(path: string): string | null {
    const standing = this.#live.get(path)
    if (standing !== undefined) return standing.kind === "directory" ? null : "EEXIST"
    const parent = dirname(path)
    if (parent !== path) {
      const refused = this.#makeDirectory(parent)
      if (refused !== null) return refused
    }
    this.#change({ kind: "create", path, entry: { kind: "directory" } })
    return null
  }

  #write(path: string, bytes: Uint8Array): string | null {
    if (this.#live.has(path)) return "EEXIST"
    if (this.#live.get(dirname(path))?.kind !== "directory") return "ENOENT"
    this.#change({
      kind: "create",
      path,
      entry: { kind: "file", inode: { data: bytes.slice(), durable: new Uint8Array(0) } }
    })
    return null
  }

  #flushDirectory(path: string): string | null {
    if (this.#live.get(path)?.kind !== "directory") return "ENOENT"
    const last = this.#pending.findLastIndex((change) => touches(change, path))
    for (const change of this.#pending.splice(0, last + 1)) apply(this.#durable, change)
    return null
  }

  #rename(from: string, to: string): string | null {
    if (!this.#live.has(from)) return "ENOENT"
    if (this.#live.get(to)?.kind === "directory") {
      if ([...this.#live.keys()].some((path) => path !== to && under(path, to))) return "ENOTEMPTY"
    }
    this.#change({ kind: "rename", from, to })
    return null
  }

  /** The operations, as the port wants them. */
  readonly shape: DurableFilesShape = {
    makeDirectory: (path) =>
      this.#changing(
        "makeDirectory",
        path,
        () => this.#makeDirectory(path),
        () => {}
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
    exchange: (one, other) =>
      this.#canExchange
        ? Effect.as(
            this.#changing(
              "exchange",
              one,
              () => {
                if (!this.#live.has(one) || !this.#live.has(other)) return "ENOENT"
                this.#change({ kind: "exchange", from: one, to: other })
                return null
              },
              () => {}
            ),
            true
          )
        : Effect.succeed(false),
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
    read: (path) =>
      this.#reading("read", path, () => {
        const entry = this.#live.get(path)
        return entry?.kind === "file" ? entry.inode.data.slice() : "ENOENT"
      }),
    inspect: (path) =>
      Effect.map(
        this.#reading("inspect", path, () => ({ entry: this.#live.get(path) })),
        ({ entry }) =>
          entry === undefined
            ? null
            : { kind: entry.kind, sizeBytes: entry.kind === "file" ? entry.inode.data.length : 0 }
      ),
    uniqueSuffix: Effect.sync(() => `m${this.#suffix++}`)
  }

  /** These files as the port's implementation. */
  get layer(): Layer.Layer<DurableFiles> {
    return Layer.succeed(DurableFiles, this.shape)
  }
}
