/**
 * The file operations, and the guarantees of each.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { FileFault, FileUnfit } from "./FileErrors.ts"

/** The file at a path; a link is not followed. */
export interface FileStatus {
  readonly kind: "file" | "directory" | "link" | "other"
  readonly sizeBytes: number
  /** The inode: a rename keeps it, a copy has another. */
  readonly inode: string
  /** The file system. Device and inode together identify a file. */
  readonly device: string
  /** The user that it belongs to. */
  readonly userId: number
  /** How many names it has. */
  readonly links: number
}

/** The state of some files at one moment. */
export interface FilesStamp {
  /** Equal to an earlier one if none of the files was changed or exchanged in between. */
  readonly text: string
  /** Time since the last change to any of them, milliseconds by the host's clock. */
  readonly ageMillis: number
}

/**
 * The result of requesting a lock: it is `held`, another owner has `taken` it, or the file is `absent`.
 *
 * Another owner may be in this process, in another thread of it, in another process, or in another container.
 */
export type HoldOutcome = "held" | "taken" | "absent"

/**
 * The readers of new files. `owner`: files 0600, directories 0700, whatever the umask. `everybody`: readable by all and writable
 * by the owner, as far as the umask allows: files 0644, directories 0755.
 */
export type Readers = "owner" | "everybody"

/** How to make a file or a directory. */
export interface MakeOptions {
  /** `owner` if left out. */
  readonly readers?: Readers
}

/** Operations of {@link DurableFiles}. New files belong to their owner alone by default. */
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
  /** Gives a file another name in the same file system, where nothing may stand yet. */
  readonly link: (from: string, to: string) => Effect.Effect<void, FileFault>
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
  /** The file at a path, or `null`. */
  readonly inspect: (path: string) => Effect.Effect<FileStatus | null, FileFault>
  /**
   * The state of the files at `read` and at `inspected`, no link followed, and of the targets of `followed`; `null` if it cannot be had.
   * Of the inspected ones it does not change with their times. If left out, what was read is read again each time.
   */
  readonly stamp?: (
    followed: ReadonlyArray<string>,
    read: ReadonlyArray<string>,
    inspected: ReadonlyArray<string>
  ) => Effect.Effect<FilesStamp | null>
  /** Fails where nothing can be made in a directory: it is none, others' alone, or on a file system that is only read. Makes nothing. */
  readonly admitsNames: (directory: string) => Effect.Effect<void, FileFault>
  /** The path without links, its last part included; parts that do not exist stay as they are. */
  readonly resolve: (path: string) => Effect.Effect<string, FileFault>
  /**
   * Holds the lock of the empty file at a path until the scope closes; if the process ends first, in any way, the kernel releases
   * the lock. Creates a missing file if `create` is true. Never waits.
   */
  readonly hold: (
    path: string,
    options: { readonly create: boolean }
  ) => Effect.Effect<HoldOutcome, FileFault | FileUnfit, Scope.Scope>
  /** 32 random hexadecimal digits. */
  readonly uniqueName: Effect.Effect<string>
}
