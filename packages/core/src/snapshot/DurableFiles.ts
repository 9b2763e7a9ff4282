/**
 * The few file operations that publishing needs, each of which can fail or be the last one before a crash.
 *
 * @module
 */
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import { Context, Effect, Layer, Schema } from "effect"

/** A file operation failed. `code` is the system's (`ENOSPC`, `EROFS`, `ENOENT`, …). */
export class FileFault extends Schema.TaggedError<FileFault>()("FileFault", {
  operation: Schema.String,
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.operation} of ${this.path} failed: ${this.code}`
  }
}

/** What stands at a path. */
export interface FileStatus {
  readonly kind: "file" | "directory" | "other"
  readonly sizeBytes: number
}

/** Operations of {@link DurableFiles}. */
export interface DurableFilesShape {
  /** Creates a directory and its missing parents; an existing one is left as it is. */
  readonly makeDirectory: (path: string) => Effect.Effect<void, FileFault>
  /** Creates a file that must not exist yet and writes it. Not durable before {@link DurableFilesShape.flush}. */
  readonly write: (path: string, bytes: Uint8Array) => Effect.Effect<void, FileFault>
  /** Makes the contents of a file durable. */
  readonly flush: (path: string) => Effect.Effect<void, FileFault>
  /** Makes the names in a directory durable. */
  readonly flushDirectory: (path: string) => Effect.Effect<void, FileFault>
  /** Renames within one file system: all or nothing, and a file at `to` is replaced. A directory at `to` must be empty. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, FileFault>
  /** Lets two directories change places in one step; `false`, and nothing has changed, where there is no such step. */
  readonly exchange: (one: string, other: string) => Effect.Effect<boolean, FileFault>
  /** Removes a file or a directory with all it holds; nothing at the path is fine. */
  readonly removeTree: (path: string) => Effect.Effect<void, FileFault>
  /** Names in a directory, sorted. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>, FileFault>
  /** Whole contents of a file. */
  readonly read: (path: string) => Effect.Effect<Uint8Array, FileFault>
  /** What stands at a path, `null` for nothing. */
  readonly inspect: (path: string) => Effect.Effect<FileStatus | null, FileFault>
  /** A short random name part, unique among concurrent writers. */
  readonly uniqueSuffix: Effect.Effect<string>
}

const codeOf = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "code" in cause && typeof cause.code === "string"
    ? cause.code
    : String(cause)

const attempt = <A>(operation: string, path: string, run: () => Promise<A>): Effect.Effect<A, FileFault> =>
  Effect.tryPromise({ try: run, catch: (cause) => new FileFault({ operation, path, code: codeOf(cause) }) })

const syncPath = async (path: string): Promise<void> => {
  const handle = await Fs.open(path, "r")
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const inspectPath = async (path: string): Promise<FileStatus | null> => {
  try {
    const found = await Fs.lstat(path)
    return { kind: found.isFile() ? "file" : found.isDirectory() ? "directory" : "other", sizeBytes: found.size }
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return null
    throw cause
  }
}

const nodeFiles: DurableFilesShape = {
  makeDirectory: (path) => attempt("makeDirectory", path, () => Fs.mkdir(path, { recursive: true }).then(() => {})),
  write: (path, bytes) => attempt("write", path, () => Fs.writeFile(path, bytes, { flag: "wx" })),
  flush: (path) => attempt("flush", path, () => syncPath(path)),
  flushDirectory: (path) => attempt("flushDirectory", path, () => syncPath(path)),
  rename: (from, to) => attempt("rename", from, () => Fs.rename(from, to)),
  exchange: () => Effect.succeed(false),
  removeTree: (path) => attempt("removeTree", path, () => Fs.rm(path, { recursive: true, force: true })),
  list: (path) => attempt("list", path, () => Fs.readdir(path).then((names) => names.toSorted())),
  read: (path) => attempt("read", path, () => Fs.readFile(path)),
  inspect: (path) => attempt("inspect", path, () => inspectPath(path)),
  uniqueSuffix: Effect.sync(() => randomBytes(6).toString("hex"))
}

/**
 * File operations with explicit durability: what was not flushed may be gone after a crash.
 *
 * The seam at which crashes and full disks are injected; see `MemoryFiles` in `@stillpoint/core/testing`.
 */
export class DurableFiles extends Context.Service<DurableFiles, DurableFilesShape>()(
  "@stillpoint/core/snapshot/DurableFiles"
) {
  /** The host's file system, as Node reaches it: without exchange. `NativeFiles.layer` of `@stillpoint/native` has it. */
  static readonly layer: Layer.Layer<DurableFiles> = Layer.succeed(DurableFiles, nodeFiles)
}
