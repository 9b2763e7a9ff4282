/**
 * What can be wrong with a snapshot in a registry.
 *
 * @module
 */
import { Schema } from "effect"

/** What a registry has by that name is no snapshot, or not a whole one. Nothing of it was taken into the store. */
export class ArtifactInvalid extends Schema.TaggedError<ArtifactInvalid>()("ArtifactInvalid", {
  reference: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.reference} is not a snapshot: expected ${this.expected}, found ${this.found}; nothing was taken into the store`
  }
}

/** The artifact was written by a later version. */
export class ArtifactVersionUnknown extends Schema.TaggedError<ArtifactVersionUnknown>()("ArtifactVersionUnknown", {
  reference: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural
}) {
  override get message(): string {
    return `${this.reference} is of version ${this.found}; this build reads version ${this.supported}: use the build that pushed it`
  }
}

/** A file of this machine stood in the way of a transfer. What has come of a pull is kept, and taken up by the next one. */
export class TransferFault extends Schema.TaggedError<TransferFault>()("TransferFault", {
  reference: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `the transfer of ${this.reference} failed on this machine: ${this.code}`
  }
}

/** Somebody else has been pulling the same artifact, for longer than was waited. */
export class PullBusy extends Schema.TaggedError<PullBusy>()("PullBusy", {
  reference: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `${this.reference} was pulled by somebody else for ${this.waitedMillis} ms; try again when that is done`
  }
}
