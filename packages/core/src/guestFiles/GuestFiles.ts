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

/** What an entry of a directory is. */
export type GuestFileKind = "file" | "directory" | "link" | "characterDevice" | "blockDevice" | "pipe" | "socket"

/** What the guest knows of a file. */
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
 * What happened to a file:
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

/** A change below what is watched. */
export interface GuestFileChange {
  readonly kind: GuestFileChangeKind
  /** Where, below the path that is watched; empty for that path itself. Bytes that are not UTF-8 are replaced. */
  readonly path: string
  readonly isDirectory: boolean
  /** What both ends of a move have in common; `null` for all else. */
  readonly move: number | null
}

/** What is watched. */
export interface WatchOptions {
  /** Whether what lies in directories below is watched, too; not, if absent. */
  readonly recursive?: boolean
}

/** Why an operation failed: what the guest's kernel said, or that the guest or machine ended. */
export type GuestFileFailure = GuestFileError | ExecError | MachineError

/**
 * File operations in a guest.
 *
 * Each is a process of the agent's own in the root of the guest's commands, as uid 0 and confined as they are; paths are resolved inside
 * that root, whatever links say, and relative ones from it. The guest is let go on until the operation is over: see {@link
 * GuestProcess}. Files are read and written in constant memory at any size; devices, pipes and sockets are refused as `NotAFile`, without
 * being opened.
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
   * Writes a file, whole or not at all: what is there stays until everything has come and is on the guest's disk, and nothing is
   * left behind by what fails or is interrupted. A link is followed. A file that is there keeps its owner, and its mode unless one is
   * given; another has 0o644.
   */
  readonly write: (
    path: string,
    content: Secret<Uint8Array | string> | Stream.Stream<Uint8Array, GuestFileFailure>,
    options?: { readonly mode?: number }
  ) => Effect.Effect<void, GuestFileFailure>
  /** The entries of a directory, in no order. Links are not followed. */
  readonly list: (path: string) => Effect.Effect<ReadonlyArray<GuestFileEntry>, GuestFileFailure>
  /** What a path leads to; with `follow: false`, a link itself. */
  readonly stat: (
    path: string,
    options?: { readonly follow?: boolean }
  ) => Effect.Effect<GuestFileInfo, GuestFileFailure>
  /** Makes a directory, of mode 0o755 if none is given; with `parents`, whatever is missing above it, and one that is there is well. */
  readonly mkdir: (
    path: string,
    options?: { readonly mode?: number; readonly parents?: boolean }
  ) => Effect.Effect<void, GuestFileFailure>
  /** Removes a file, a link or an empty directory; with `recursive`, a directory and everything below it. */
  readonly remove: (path: string, options?: { readonly recursive?: boolean }) => Effect.Effect<void, GuestFileFailure>
  /** Renames, in place of what is there if that can be. */
  readonly rename: (from: string, to: string) => Effect.Effect<void, GuestFileFailure>
  /** Sets permissions; a link is followed. */
  readonly chmod: (path: string, mode: number) => Effect.Effect<void, GuestFileFailure>
  /**
   * A directory and everything below it as a tar archive (POSIX, with pax records where names are long), as it comes, in constant
   * memory: modes, owners by number, times, links, pipes and devices; files with several names once. It leaves out sockets and
   * extended attributes; what is mounted below is an empty directory; a file with holes is as long as it is. Entries come in no order.
   *
   * The guest has written it: unpack it as you would a stranger's archive.
   */
  readonly pack: (path: string) => Stream.Stream<Uint8Array, GuestFileFailure>
  /**
   * Makes a directory of a tar archive (POSIX or GNU), whole or not at all: there must be nothing at `path`, or an empty directory, and
   * until everything has come and is on the guest's disk nobody sees it. With `merge`, entries come one by one into the directory that is
   * there, in place of what is no directory; what came before a failure stays then.
   *
   * An archive may be anybody's: an entry with an absolute path or `..`, one that lies behind a link, a checksum that is wrong, an end
   * that is missing fail with `ArchiveInvalid`, which names the entry. Devices need a `privileged` guest, and fail with `Denied` in others.
   */
  readonly unpack: (
    path: string,
    archive: Uint8Array | Stream.Stream<Uint8Array, GuestFileFailure>,
    options?: { readonly merge?: boolean }
  ) => Effect.Effect<void, GuestFileFailure>
  /**
   * Changes of a file, or of a directory's entries, as they come, the first one `watching`; ends when what is watched has gone. Changes
   * that nobody reads wait in the guest, and are dropped there when they are too many, which is told as `lost`. In a directory that has
   * just been made or moved here, what is in it already is told as `created`, perhaps twice. Links are not followed, but for `path` itself.
   *
   * A watch waits like any process: see {@link GuestProcess}. In a machine that lives it is told at once.
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
