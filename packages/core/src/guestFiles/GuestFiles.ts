/**
 * The files of a guest, as its host reaches them.
 *
 * @module
 */
import type { Secret } from "../Secret.ts"
import type { Effect, Stream } from "effect"
import type { Observable } from "rxjs"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import type { GuestFileError } from "./GuestFileError.ts"

/** The kind of a directory entry. */
export type GuestFileKind = "file" | "directory" | "link" | "characterDevice" | "blockDevice" | "pipe" | "socket"

/** The guest's metadata of a file. */
export interface GuestFileInfo {
  readonly kind: GuestFileKind
  /** Permissions, with the set-id and sticky bits: 0 to 0o7777. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly sizeBytes: number
  /** Last change of the content, milliseconds since 1970 by the guest's clock. */
  readonly modifiedMillis: number
}

/** An entry of a directory. */
export interface GuestFileEntry extends GuestFileInfo {
  /** Its name. Bytes that are not UTF-8 are replaced: such an entry is seen, and reached by commands only. */
  readonly name: string
}

/**
 * The kind of a change:
 *
 * - `watching`: nothing yet; the watch has begun, and misses nothing from here on
 * - `created`, `removed`
 * - `modified`: its content changed; `closed`: who wrote to it has closed it
 * - `attributes`: its mode, owner, times or number of names
 * - `movedFrom`, `movedTo`: the two ends of a move, with the same number
 * - `lost`: changes that came faster than they were read, and are not known
 */
export type GuestFileChangeKind =
  | "watching"
  | "created"
  | "removed"
  | "modified"
  | "closed"
  | "attributes"
  | "movedFrom"
  | "movedTo"
  | "lost"

/** A change below the watched path. */
export interface GuestFileChange {
  readonly kind: GuestFileChangeKind
  /** The path relative to the watched path; empty for that path itself. Bytes that are not UTF-8 are replaced. */
  readonly path: string
  readonly isDirectory: boolean
  /** A number that both ends of a move share; `null` for all other changes. */
  readonly move: number | null
}

/** Options of a watch. */
export interface WatchOptions {
  /** Whether directories below are watched too; `false` if absent. */
  readonly recursive?: boolean
}

/** Why an operation failed: an error of the guest's kernel, or the end of the guest or machine. */
export type GuestFileFailure = GuestFileError | ExecError | MachineError

/**
 * File operations in a guest.
 *
 * Each operation is a process of the agent in the root of the guest's commands, as uid 0 and confined like them. Paths are
 * resolved inside that root, whatever links say, and relative ones start from it. The guest runs until the operation is over: see
 * {@link GuestProcess}. Files of any size are read and written in constant memory; devices, pipes and sockets are refused as
 * `NotAFile`, without being opened.
 *
 * A clone that is made while an operation runs does not continue it: its guest ends the operation before the clone's gate opens, and
 * nothing of it is left there, except what an `unpack` with `merge`, a `mkdir` with `parents` or a recursive `remove` had done by then.
 */
export interface GuestFiles {
  /** The content of a file, from byte `offset` on, as it comes. */
  readonly stream: (path: string, options?: { readonly offset?: number }) => Stream.Stream<Uint8Array, GuestFileFailure>
  /** The content of a file of at most `limitBytes`; 64 MiB if absent. */
  readonly read: (
    path: string,
    options?: { readonly limitBytes?: number }
  ) => Effect.Effect<Uint8Array, GuestFileFailure>
  /**
   * Writes a file completely or not at all: an existing file stays until all data has arrived and is on the guest's disk, and a
   * failed or interrupted write leaves nothing behind. A link is followed. An existing file keeps its owner, and its mode unless
   * one is given; a new one has 0o644.
   */
  readonly write: (
    path: string,
    content: Secret<Uint8Array | string> | Stream.Stream<Uint8Array, GuestFileFailure>,
    options?: { readonly mode?: number }
  ) => Effect.Effect<void, GuestFileFailure>
  /** The entries of a directory, in no order. Links are not followed. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<GuestFileEntry>, GuestFileFailure>
  /** The file that a path leads to; with `follow: false`, a link itself. */
  readonly stat: (
    path: string,
    options?: { readonly follow?: boolean }
  ) => Effect.Effect<GuestFileInfo, GuestFileFailure>
  /**
   * Makes a directory, with mode 0o755 by default. With `parents`, also makes missing parents, and accepts an existing directory.
   */
  readonly mkdir: (
    path: string,
    options?: { readonly mode?: number; readonly parents?: boolean }
  ) => Effect.Effect<void, GuestFileFailure>
  /** Removes a file, a link or an empty directory; with `recursive`, a directory and everything below it. */
  readonly remove: (path: string, options?: { readonly recursive?: boolean }) => Effect.Effect<void, GuestFileFailure>
  /** Renames, replacing an existing file if possible. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, GuestFileFailure>
  /** Sets permissions; a link is followed. */
  readonly chmod: (path: string, mode: number) => Effect.Effect<void, GuestFileFailure>
  /**
   * Streams a directory and everything below it as a tar archive (POSIX, with pax records for long names) in constant memory:
   * modes, numeric owners, times, links, pipes and devices; a file with several names is stored once. Sockets and extended
   * attributes are left out, a mount point is an empty directory, and holes are stored as zeros. The order of entries is
   * undefined.
   *
   * The guest has written it: unpack it as you would a stranger's archive.
   */
  readonly pack: (path: string) => Stream.Stream<Uint8Array, GuestFileFailure>
  /**
   * Creates a directory from a tar archive (POSIX or GNU), completely or not at all: `path` must not exist, or be an empty
   * directory, and the new one appears once everything is on the guest's disk. With `merge`, entries are added one by one to the
   * existing directory, replacing everything except directories; after a failure, the entries so far stay.
   *
   * The archive is not trusted: an entry with an absolute path or `..` or behind a link, a wrong checksum, and a missing end fail
   * with `ArchiveInvalid`, which names the entry. Devices need a `privileged` guest, and fail with `Denied` in others.
   */
  readonly unpack: (
    path: string,
    archive: Uint8Array | Stream.Stream<Uint8Array, GuestFileFailure>,
    options?: { readonly merge?: boolean }
  ) => Effect.Effect<void, GuestFileFailure>
  /**
   * Streams changes of a file, or of a directory's entries, beginning with `watching`; ends when the watched file is gone. Unread
   * changes wait in the guest; if there are too many, they are dropped, which is reported as `lost`. The contents of a directory
   * that was just made or moved here are reported as `created`, perhaps twice. Links are not followed, except for `path` itself.
   *
   * A watch waits like any process: see {@link GuestProcess}. In a live machine changes are reported at once.
   *
   * @example
   * ```ts
   * import type { Machine } from "@stillpoint/core"
   * import { Stream } from "effect"
   *
   * // Every file that is written whole below /var/log.
   * const logs = (machine: Machine) =>
   *   machine.files.watch("/var/log", { recursive: true }).pipe(Stream.filter(({ kind }) => kind === "closed"))
   * ```
   */
  readonly watch: (path: string, options?: WatchOptions) => Stream.Stream<GuestFileChange, GuestFileFailure>
  /** {@link watch} as an observable: watched while it has subscribers, who share one watch. */
  readonly watch$: (path: string, options?: WatchOptions) => Observable<GuestFileChange>
}
