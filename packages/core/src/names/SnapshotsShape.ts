/**
 * What can be done with snapshots that have names, and what is known of them.
 *
 * @module
 */
import type { Effect, Scope } from "effect"
import type { Manifest } from "../snapshot/Manifest.ts"
import type { SigningKey } from "../snapshot/Signature.ts"
import type { OpenOptions, Snapshot } from "../snapshot/SnapshotStore.ts"
import type { RestoreOptions } from "../snapshot/restoreSnapshot.ts"
import type { Vmm } from "../Vmm.ts"
import type { SnapshotsError } from "./NameErrors.ts"

/** How a name is given. */
export interface TagOptions {
  /** Take it from the snapshot that has it; without it, a name that is taken is refused. */
  readonly replace?: boolean
  /** The digest of the snapshot that must have it now, `null` for none: who comes second is told `NameMoved`. */
  readonly expecting?: string | null
}

/** A snapshot of the store. */
export interface StoredSnapshot {
  /** Digest of its manifest: what it is called by, whatever its names. */
  readonly digest: string
  /** Its names, sorted; a tag `latest` is left out. */
  readonly names: ReadonlyArray<string>
  /** When the first of its names was given, milliseconds since 1970; `null` for one without. */
  readonly namedAtMillis: number | null
  readonly directory: string
  /** What it says of itself; `null` if it cannot be opened. */
  readonly manifest: Manifest | null
  /** Why it cannot be opened, or is not ready; `null` if it can. */
  readonly problem: string | null
  /** Bytes that its own files take on the disk. */
  readonly storedBytes: number
  /** Digest of the snapshot that it was taken against; `null` for one that holds all of memory. */
  readonly parent: string | null
  /** Digests of the snapshots that were taken against it. */
  readonly children: ReadonlyArray<string>
}

/** What a store takes. */
export interface StoreUsage {
  readonly home: string
  readonly snapshots: number
  readonly names: number
  /** Bytes of all snapshots' files on the disk, each counted once. */
  readonly storedBytes: number
}

/** What a removal did. */
export interface Removed {
  readonly digest: string
  /** The names that went. */
  readonly names: ReadonlyArray<string>
  /** Whether the snapshot went, too: one that has other names stays. */
  readonly isGone: boolean
}

/** Operations of {@link Snapshots}. */
export interface SnapshotsShape {
  /** The folder of the store. It need not exist before something is kept in it. */
  readonly home: string
  /**
   * Where a snapshot to be kept is published: give it to a pipeline as its target. What stands there when the scope closes, or the
   * process ends, is cleared unless it was kept.
   */
  readonly draft: Effect.Effect<string, SnapshotsError, Scope.Scope>
  /**
   * Takes a snapshot that was published to a {@link SnapshotsShape.draft} into the store, under a name if one is given. The name is
   * given last, in one step: after a kill at any moment it is the old snapshot's or the new one's.
   */
  readonly keep: (
    directory: string,
    name?: string,
    options?: TagOptions
  ) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** All snapshots, by name. One that cannot be opened is among them and says why. */
  readonly list: Effect.Effect<ReadonlyArray<StoredSnapshot>, SnapshotsError>
  /** The snapshot that a reference means, opened: ready to be restored from its `directory`. */
  readonly get: (reference: string, options?: OpenOptions) => Effect.Effect<Snapshot, SnapshotsError>
  /** What is known of the snapshot that a reference means. */
  readonly inspect: (reference: string) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Gives the snapshot one more name. Of many who give one name at once, one does and the others are told. */
  readonly tag: (reference: string, name: string, options?: TagOptions) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Takes a name away. The snapshot stays. */
  readonly untag: (name: string) => Effect.Effect<void, SnapshotsError>
  /**
   * Removes what a reference means: a name, and the snapshot if it has no other; a digest with all of its names. A snapshot that
   * deltas need is refused with `SnapshotNeeded`, which says who needs it.
   */
  readonly remove: (reference: string) => Effect.Effect<Removed, SnapshotsError>
  /** Signs the snapshot that a reference means, as it stands with its verdict. Its digest and its names stay. */
  readonly sign: (reference: string, key: SigningKey) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Ids of the keys that are said to have signed it. Whether they have is said by a store with `requiredKeys` when it opens it. */
  readonly signers: (reference: string) => Effect.Effect<ReadonlyArray<string>, SnapshotsError>
  /**
   * Checks every byte of a snapshot: all files are read, and a machine is restored of it, executed nothing, and its memory read.
   */
  readonly verify: (reference: string, options?: RestoreOptions) => Effect.Effect<StoredSnapshot, SnapshotsError, Vmm>
  readonly usage: Effect.Effect<StoreUsage, SnapshotsError>
}
