/**
 * What a capture writes, and what a restore reads.
 *
 * @module
 */
import type { CaptureEncryption, EncryptionKey } from "./encryption.ts"
import type { GuestNanos } from "./GuestEvent.ts"

/** What a capture contains: all of memory, or a delta to a parent. */
export interface CaptureKind {
  /**
   * Identity of an earlier capture; only pages that may differ from it are written. It may be a capture of this machine, of a fork of
   * it, of the machine that it was forked from (taken before the fork), or the one that it was restored from.
   */
  readonly parent?: string
  /**
   * A folder of objects of other captures, such as a store's: chunks that one of them has are linked and not written. They are written
   * if the folder is missing or on another file system.
   */
  readonly shared?: string
  /** Encrypts the capture with this key, 32 bytes. It then shares nothing. A delta must be encrypted with its parent's key. */
  readonly encryptionKey?: EncryptionKey
}

/** Requirements on the files of a restore. */
export interface RestoreChain {
  /** The identity that the capture must have; any if absent. */
  readonly identity?: string
  /** Directories of the delta's ancestors: its parent, the parent of that, and so on, to a full capture. */
  readonly parents?: ReadonlyArray<string>
  /** New paths for disks' files that have moved since the capture, by the names of the disks. */
  readonly diskSources?: Readonly<Record<string, string>>
  /** The key that the capture and its parents are encrypted with. A capture that is not encrypted is refused with a key. */
  readonly encryptionKey?: EncryptionKey
}

/** One file that a capture wrote. */
export interface CapturedFile {
  readonly name: string
  readonly sizeBytes: number
  /** Bytes that it occupies on the disk, including those that it shares with other captures; fewer than its size if it is sparse. */
  readonly storedBytes: number
  /** Name of the file of this capture that holds the digests of its chunks, if those are checked when first touched; else `null`. */
  readonly chunkTable: string | null
  /** Guest-physical address of its first byte, or of the first chunk of which it is the table; `null` if it is not memory. */
  readonly guestAddress: number | null
}

/** Files that one capture wrote, and its cost. */
export interface CapturedFiles {
  /** Names the captured state; deltas refer to it, and a restore can require it. */
  readonly identity: string
  /** Identity of the capture that this one is a delta to; `null` for a full one. */
  readonly parent: string | null
  readonly atNanos: GuestNanos
  /** `seq` of the last event before the capture; -1 for none. */
  readonly seq: number
  /** Host time during which the guest could not run, in nanoseconds. */
  readonly pauseNanos: number
  readonly files: ReadonlyArray<CapturedFile>
  readonly engine: string
  readonly memoryMib: number
  /** How it is encrypted; absent or `null` if it is not. */
  readonly encryption?: CaptureEncryption | null
}
