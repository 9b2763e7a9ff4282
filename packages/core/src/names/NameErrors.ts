/**
 * Errors of the names of a store.
 *
 * @module
 */
import { Schema } from "effect"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { MachineError, RestoreError } from "../MachineErrors.ts"
import { SnapshotOpenError, SnapshotPublishError } from "../snapshot/SnapshotErrors.ts"
import { ReferenceInvalid } from "./Reference.ts"

/** The options of an operation are invalid; nothing was done. */
export class OptionsInvalid extends Schema.TaggedError<OptionsInvalid>()("OptionsInvalid", {
  /** The operation; absent if the problems name it themselves. */
  operation: Schema.optionalKey(Schema.String),
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    const { operation, problems } = this
    return (operation === undefined ? problems : problems.map((problem) => `${operation}: ${problem}`)).join("\n")
  }
}

/** No snapshot in the store has that name or digest. */
export class SnapshotUnknown extends Schema.TaggedError<SnapshotUnknown>()("SnapshotUnknown", {
  reference: Schema.String,
  /** A suggestion for the name that was probably meant, to be appended to a sentence; empty if no name is close. */
  meant: Schema.String,
  /** The names that people gave to snapshots of the store. */
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const known = this.known.slice(0, 10).join(", ")
    const others = this.known.length === 0 ? "; no snapshot here has a name" : `; the store has ${known}`
    return `no snapshot is called ${this.reference}${this.meant === "" ? others : this.meant}`
  }
}

/** Several digests begin with the given characters. */
export class DigestAmbiguous extends Schema.TaggedError<DigestAmbiguous>()("DigestAmbiguous", {
  digest: Schema.String,
  found: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `several digests begin with ${this.digest}: ${this.found.join(", ")}; give more characters`
  }
}

/** The name belongs to another snapshot, and `replace` was not set. */
export class NameTaken extends Schema.TaggedError<NameTaken>()("NameTaken", {
  name: Schema.String,
  digest: Schema.String
}) {
  override get message(): string {
    return `the name ${this.name} is already taken by ${this.digest.slice(0, 12)}; choose another name, or take this one with replace (--replace on the command line)`
  }
}

/** The name no longer belongs to the expected snapshot: another process moved it. */
export class NameMoved extends Schema.TaggedError<NameMoved>()("NameMoved", {
  name: Schema.String,
  /** Digests, or `none` if there is no such name. */
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.name} was moved in the meantime: expected it at ${this.expected}, found it at ${this.found}; nothing was changed`
  }
}

/** Other snapshots are deltas to this one. */
export class SnapshotNeeded extends Schema.TaggedError<SnapshotNeeded>()("SnapshotNeeded", {
  digest: Schema.String,
  /** The snapshots that need it, by name, or by digest if they have no name. */
  by: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `${this.digest.slice(0, 12)} is needed by its deltas ${this.by.join(", ")}: remove or compact those first`
  }
}

/** The record of names cannot be read. */
export class NamesUnreadable extends Schema.TaggedError<NamesUnreadable>()("NamesUnreadable", {
  path: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not a record of names: ${this.why}; the snapshots beside it were not touched`
  }
}

/** The store was written by a later version. */
export class StoreVersionUnknown extends Schema.TaggedError<StoreVersionUnknown>()("StoreVersionUnknown", {
  path: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural
}) {
  override get message(): string {
    return `${this.path} has version ${this.found}; this build reads version ${this.supported}: use the build that wrote it`
  }
}

/** Another process held the store's lock for longer than the wait allowed. */
export class StoreBusy extends Schema.TaggedError<StoreBusy>()("StoreBusy", {
  path: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `another process kept ${this.path} locked for ${this.waitedMillis} ms; nothing was changed, try again`
  }
}

/** A snapshot is a delta whose parent is not in the store. */
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

/** An operation on a store of named snapshots failed. Names and snapshots are unchanged. */
export class SnapshotsError extends Schema.TaggedError<SnapshotsError>()("SnapshotsError", {
  reason: SnapshotsReason
}) {
  override get message(): string {
    return this.reason.message
  }
}
