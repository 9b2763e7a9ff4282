/**
 * What a published snapshot is to who opens it.
 *
 * @module
 */
import type { Manifest } from "./Manifest.ts"
import type { Validation } from "./Validation.ts"

/** A published snapshot whose manifest and small files were verified, and those of its parents. */
export interface Snapshot {
  readonly directory: string
  readonly manifest: Manifest
  /** Directories to restore from: of its own files, then of its parents', in order. */
  readonly layers: ReadonlyArray<string>
  /** Directories of what it was taken against: its parent, that one's parent and so on. None for a full snapshot. */
  readonly parents: ReadonlyArray<string>
  /** The verdict of its validation, if it has one. */
  readonly validation: Validation | null
}

/** How a snapshot is opened. */
export interface OpenOptions {
  /** Open a snapshot whose required validation is still to come: only for the one who validates. */
  readonly allowUnvalidated?: boolean
  /** Digest that the snapshot's manifest must have: that very snapshot, and no other that stands there now. */
  readonly digest?: string
}
