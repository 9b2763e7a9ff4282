/**
 * What file operations there are, and what each promises.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { FileFault, FileUnfit } from "./FileErrors.ts"

/** What stands at a path; a link is not followed. */
export interface FileStatus {
  readonly kind: "file" | "directory" | "link" | "other"
  readonly sizeBytes: number
  /** What the file system calls it, whatever its path: a rename keeps it, a copy has another. */
  readonly inode: string
  /** The file system that it is on: an inode is told from all others together with it. */
  readonly device: string
  /** The user that it belongs to. */
  readonly userId: number
}

/**
 * What came of wanting a lock: it is `held`, somebody else has `taken` it, or the file is `absent`.
 *
 * Somebody else is another owner in this process, another thread of it, another process, also one in another container.
 */
export type HoldOutcome = "held" | "taken" | "absent"

/**
 * Whom what is made is for. `owner`: files 0600, directories 0700, whatever the umask. `everybody` may read it, where the umask lets
 * them, and nobody but its owner may write: files 0644, directories 0755, less what the umask takes.
 */
export type Readers = "owner" | "everybody"

/** How a file or a directory is made. */
export interface MakeOptions {
  /** `owner` if left out. */
  readonly readers?: Readers
}

/** Operations of {@link DurableFiles}. What they make is its owner's alone, unless they are told otherwise. */
export interface DurableFilesShape {
  /** Creates one directory; `false` where something stands already. */
  readonly makeDirectory: (path: string, options?: MakeOptions) => Effect.Effect<boolean, FileFault>
  /** Creates a file that must not exist yet and writes it. Not durable before {@link DurableFilesShape.flush}. */
  readonly write: (path: string, bytes: Uint8Array, options?: MakeOptions) => Effect.Effect<void, FileFault>
  /** Makes the contents of a file durable. */
  readonly flush: (path: string) => Effect.Effect<void, FileFault>
  /** Makes the names in a directory durable, where the file system has such a step. */
  readonly flushDirectory: (path: string) => Effect.Effect<void, FileFault>
  /** Renames within one file system: all or nothing, and a file at `to` is replaced. A directory at `to` must be empty. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, FileFault>
  /** Removes a file or a directory with all it holds, no link followed; nothing at the path is fine. */
  readonly removeTree: (path: string) => Effect.Effect<void, FileFault>
  /** Removes a directory if it is empty; `false` where it is not, is none, or is a mount point. */
  readonly removeEmptyDirectory: (path: string) => Effect.Effect<boolean, FileFault>
  /** Names in a directory, sorted. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<string>, FileFault>
  /** Whole contents of a regular file of at most `atMostBytes`: all that it holds, or an error. A link is not followed. */
  readonly read: (path: string, atMostBytes: number) => Effect.Effect<Uint8Array, FileFault | FileUnfit>
  /** SHA-256 (lower-case hexadecimal) and size of a regular file of at most `atMostBytes`, read piece by piece. */
  readonly digest: (
    path: string,
    atMostBytes: number
  ) => Effect.Effect<{ readonly sha256: string; readonly sizeBytes: number }, FileFault | FileUnfit>
  /** What stands at a path, `null` for nothing. */
  readonly inspect: (path: string) => Effect.Effect<FileStatus | null, FileFault>
  /** Fails where nothing can be made in a directory: it is none, others' alone, or on a file system that is only read. Makes nothing. */
  readonly admitsNames: (directory: string) => Effect.Effect<void, FileFault>
  /** The path without links, its last part included; parts that do not exist stay as they are. */
  readonly resolve: (path: string) => Effect.Effect<string, FileFault>
  /**
   * Holds the empty file at a path, made where missing if `create` is said, until the scope closes or the process ends, however it
   * ends: the kernel lets go then. Never waits.
   */
  readonly hold: (
    path: string,
    options: { readonly create: boolean }
  ) => Effect.Effect<HoldOutcome, FileFault | FileUnfit, Scope.Scope>
  /** 32 random hexadecimal digits. */
  readonly uniqueName: Effect.Effect<string>
}
