/**
 * What can be wrong with an archive of a snapshot.
 *
 * @module
 */
import { Schema } from "effect"

/** The archive is not one of a snapshot, or not whole. Nothing of it was taken into the store. */
export class ArchiveInvalid extends Schema.TaggedError<ArchiveInvalid>()("ArchiveInvalid", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} is not the archive of a snapshot: expected ${this.expected}, found ${this.found}; nothing was imported`
  }
}

/** The archive was written by a later version. */
export class ArchiveVersionUnknown extends Schema.TaggedError<ArchiveVersionUnknown>()("ArchiveVersionUnknown", {
  path: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural
}) {
  override get message(): string {
    return `${this.path} is of version ${this.found}; this build reads version ${this.supported}: use the build that wrote it`
  }
}

/** A snapshot holds only what changed since another one: alone it is of no use elsewhere. */
export class ExportOfDelta extends Schema.TaggedError<ExportOfDelta>()("ExportOfDelta", {
  reference: Schema.String,
  parent: Schema.String
}) {
  override get message(): string {
    return `${this.reference} holds only what changed since ${this.parent.slice(0, 12)}: make one whole snapshot of both first (compactSnapshot)`
  }
}
