/**
 * Operations on named snapshots, and their results.
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

/** Options for naming a snapshot. */
export interface TagOptions {
  /** Take the name from the snapshot that has it; if absent, a taken name is refused. */
  readonly replace?: boolean
  /** The digest of the snapshot that must have the name now, or `null` for none; otherwise this fails with `NameMoved`. */
  readonly expecting?: string | null
}

/** A snapshot of the store. */
export interface StoredSnapshot {
  /** Digest of its manifest, which identifies it under any name. */
  readonly digest: string
  /** Its names, sorted; a tag `latest` is left out. */
  readonly names: ReadonlyArray<string>
  /** The time when it got the first of its names, milliseconds since 1970; `null` if it has none. */
  readonly namedAtMillis: number | null
  readonly directory: string
  /** Its manifest; `null` if it cannot be opened. */
  readonly manifest: Manifest | null
  /** Why it cannot be opened or is not ready; `null` if it is ready. */
  readonly problem: string | null
  /** Bytes that its own files take on the disk. */
  readonly storedBytes: number
  /** Digest of its parent; `null` for a full snapshot. */
  readonly parent: string | null
  /** Digests of its deltas. */
  readonly children: ReadonlyArray<string>
}

/** The size of a store. */
export interface StoreUsage {
  readonly home: string
  readonly snapshots: number
  readonly names: number
  /** Bytes of all snapshots' files on the disk, each counted once. */
  readonly storedBytes: number
}

/** The result of a removal. */
export interface Removed {
  readonly digest: string
  /** The names that were removed. */
  readonly names: ReadonlyArray<string>
  /** Whether the snapshot was removed too; it stays if it has other names. */
  readonly isGone: boolean
}

/** Operations of {@link Snapshots}. */
export interface SnapshotsShape {
  /** The folder of the store. It is created when the first snapshot is kept. */
  readonly home: string
  /**
   * A path to publish a snapshot to before it is kept: pass it to a pipeline as the target. A snapshot there is removed when the scope
   * closes, or after the process ends, unless it was kept.
   */
  readonly draft: Effect.Effect<string, SnapshotsError, Scope.Scope>
  /**
   * Removes what killed processes left in the store: unfinished snapshots and removals. Nothing of a running process is touched. Most
   * operations do the same on their way, so this is for a store that nobody is about to change.
   */
  readonly clear: Effect.Effect<void, SnapshotsError>
  /**
   * Takes a snapshot that was published to a {@link SnapshotsShape.draft} into the store, under a name if one is given. The name is set
   * last, in one step: after a kill at any moment it belongs to the old snapshot or to the new one.
   */
  readonly keep: (
    directory: string,
    name?: string,
    options?: TagOptions
  ) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** All snapshots, by name. Those that cannot be opened are included, with the reason. */
  readonly list: Effect.Effect<ReadonlyArray<StoredSnapshot>, SnapshotsError>
  /** Opens the snapshot that a reference names; it can be restored from its `directory`. */
  readonly get: (reference: string, options?: OpenOptions) => Effect.Effect<Snapshot, SnapshotsError>
  /** Describes the snapshot that a reference names. */
  readonly inspect: (reference: string) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Gives a snapshot another name. If several callers use one name at once, one succeeds and the others fail. */
  readonly tag: (reference: string, name: string, options?: TagOptions) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Removes a name. The snapshot stays. */
  readonly untag: (name: string) => Effect.Effect<void, SnapshotsError>
  /**
   * Removes a name, and the snapshot if that was its last; given a digest, removes the snapshot with all its names. If deltas need the
   * snapshot, this fails with `SnapshotNeeded`, which lists them.
   */
  readonly remove: (reference: string) => Effect.Effect<Removed, SnapshotsError>
  /** Signs a snapshot together with its current verdict. Its digest and its names stay the same. */
  readonly sign: (reference: string, key: SigningKey) => Effect.Effect<StoredSnapshot, SnapshotsError>
  /** Ids of the keys in its signatures, unverified. A store with `requiredKeys` verifies them when it opens the snapshot. */
  readonly signers: (reference: string) => Effect.Effect<ReadonlyArray<string>, SnapshotsError>
  /**
   * Checks every byte of a snapshot: reads all files, restores a machine from it, and reads the machine's memory. Nothing is executed.
   */
  readonly verify: (reference: string, options?: RestoreOptions) => Effect.Effect<StoredSnapshot, SnapshotsError, Vmm>
  readonly usage: Effect.Effect<StoreUsage, SnapshotsError>
}
