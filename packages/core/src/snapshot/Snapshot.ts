/**
 * A published snapshot as its reader sees it.
 *
 * @module
 */
import type { EncryptionKey } from "../encryption.ts"
import type { Manifest } from "./Manifest.ts"
import type { Validation } from "./Validation.ts"

/** A published snapshot whose manifest and small files were verified, and those of its parents. */
export interface Snapshot {
  readonly directory: string
  readonly manifest: Manifest
  /** Directories to restore from: of its own files, then of its parents', in order. */
  readonly layers: ReadonlyArray<string>
  /** Directories of its ancestors: its parent, the parent's parent and so on. Empty for a full snapshot. */
  readonly parents: ReadonlyArray<string>
  /** The verdict of its validation, if it has one. */
  readonly validation: Validation | null
  /** Its encryption key, if it is encrypted and was opened with the key. */
  readonly encryptionKey?: EncryptionKey
}

/** Options of opening a snapshot. */
export interface OpenOptions {
  /** Open a snapshot whose required validation is still to come: only for the one who validates. */
  readonly allowUnvalidated?: boolean
  /**
   * Open a snapshot without its encryption key: only for the one who lists, signs, moves or removes it. Its timeline, its machine, and
   * the evidence and the working set of its verdict cannot be had.
   */
  readonly allowLocked?: boolean
  /** The digest that the manifest must have; a different snapshot at the path is refused. */
  readonly digest?: string
}
