/**
 * The files of a guest, as its host reaches them.
 *
 * @module
 */
import type { Effect, Stream } from "effect"
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
    content: Uint8Array | string | Stream.Stream<Uint8Array, GuestFileFailure>,
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
}
