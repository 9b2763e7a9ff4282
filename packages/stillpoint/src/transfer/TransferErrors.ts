/**
 * Errors in a snapshot that arrives in an archive or from a registry.
 *
 * @module
 */
import { Schema } from "effect"

/** The archive or artifact is not a whole snapshot. Nothing from it was taken into the store. */
export class TransferInvalid extends Schema.TaggedError<TransferInvalid>()("TransferInvalid", {
  /** Path of the archive, or reference of the artifact. */
  source: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.source} is not a whole snapshot: expected ${this.expected}, found ${this.found}; nothing was taken into the store`
  }
}

/** The archive or artifact was written by a later version. */
export class TransferVersionUnknown extends Schema.TaggedError<TransferVersionUnknown>()("TransferVersionUnknown", {
  source: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural
}) {
  override get message(): string {
    return (
      `${this.source} is a snapshot sent in version ${this.found}; this build takes version ${this.supported}: ` +
      `take it with the build that sent it, or have it sent by one of version ${this.supported}`
    )
  }
}
