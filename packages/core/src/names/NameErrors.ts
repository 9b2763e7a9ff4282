/**
 * What can be wrong with the names of a store.
 *
 * @module
 */
import { Schema } from "effect"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { MachineError, RestoreError } from "../MachineErrors.ts"
import { SnapshotOpenError, SnapshotPublishError } from "../snapshot/SnapshotErrors.ts"
import { ReferenceInvalid } from "./Reference.ts"

/** What was asked for cannot be; nothing was done for it. */
export class OptionsInvalid extends Schema.TaggedError<OptionsInvalid>()("OptionsInvalid", {
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    return this.problems.join("\n")
  }
}

/** No snapshot of the store has that name or digest. */
export class SnapshotUnknown extends Schema.TaggedError<SnapshotUnknown>()("SnapshotUnknown", {
  reference: Schema.String,
  /** The name that was probably meant, as a sentence goes on; empty if none is near. */
  meant: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.slice(0, 10).join(", ")
    const others = this.known.length === 0 ? "; the store is empty" : `; there are ${known}`
    return `no snapshot is called ${this.reference}${this.meant === "" ? others : this.meant}`
  }
}

/** Several snapshots have digests that begin so. */
export class DigestAmbiguous extends Schema.TaggedError<DigestAmbiguous>()("DigestAmbiguous", {
  digest: Schema.String,
  found: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `several digests begin with ${this.digest}: ${this.found.join(", ")}; give more characters`
  }
}

/** The name belongs to a snapshot already, and replacing was not asked for. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", {
  name: Schema.String,
  digest: Schema.String
}) {
  override get message(): string {
    return `the name ${this.name} is already taken by ${this.digest.slice(0, 12)}; choose another name, or replace it`
  }
}

/** The name belongs to another snapshot than the one that was expected: somebody else has moved it. */
export class NameMoved extends Schema.TaggedError<NameMoved>()("NameMoved", {
  name: Schema.String,
  /** Digests; `none` where the name belongs to nothing. */
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.name} was moved in the meantime: expected it at ${this.expected}, found it at ${this.found}; nothing was changed`
  }
}

/** Other snapshots hold only what changed since this one. */
export class SnapshotNeeded extends Schema.TaggedError<SnapshotNeeded>()("SnapshotNeeded", {
  digest: Schema.String,
  /** Names of those that need it; digests of those without. */
  by: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.digest.slice(0, 12)} is needed by ${this.by.join(", ")}, taken against it: remove those first, or compact them`
  }
}

/** The record of names cannot be read. */
export class NamesUnreadable extends Schema.TaggedError<NamesUnreadable>()("NamesUnreadable", {
  path: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not the record of a store's names: ${this.why}; the snapshots beside it are not touched`
  }
}

/** The store was written by a later version. */
export class StoreVersionUnknown extends Schema.TaggedError<StoreVersionUnknown>()("StoreVersionUnknown", {
  path: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural
}) {
  override get message(): string {
    return `${this.path} is of version ${this.found}; this build knows version ${this.supported}: use the build that wrote it`
  }
}

/** Somebody else changes the store, and for longer than was waited. */
export class StoreBusy extends Schema.TaggedError<StoreBusy>()("StoreBusy", {
  path: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `another process kept ${this.path} locked for ${this.waitedMillis} ms; nothing was changed, try again`
  }
}

/** A snapshot is a delta to one that does not stand beside it in the store. */
export class ParentElsewhere extends Schema.TaggedError<ParentElsewhere>()("ParentElsewhere", {
  path: Schema.String,
  parent: Schema.String
}) {
  override get message(): string {
    return `${this.path} is a delta to ${this.parent}, which is not in the store: compact it first`
  }
}

/** Why an operation on a store of named snapshots failed. */
export const SnapshotsReason = Schema.Union([
  ReferenceInvalid,
  OptionsInvalid,
  SnapshotUnknown,
  DigestAmbiguous,
  NameTaken,
  NameMoved,
  SnapshotNeeded,
  NamesUnreadable,
  StoreVersionUnknown,
  StoreBusy,
  ParentElsewhere,
  SnapshotOpenError,
  SnapshotPublishError,
  RestoreError,
  MachineError,
  FileUnfit,
  FileFault
])
export type SnapshotsReason = typeof SnapshotsReason.Type

/** An operation on a store of named snapshots failed; names and snapshots are as they were. */
export class SnapshotsError extends Schema.TaggedError<SnapshotsError>()("SnapshotsError", {
  reason: SnapshotsReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
