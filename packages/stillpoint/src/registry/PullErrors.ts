/**
 * What can keep a snapshot from coming out of a registry.
 *
 * @module
 */
import { Schema } from "effect"

/** The registry has nothing of that name. */
export class ArtifactUnknown extends Schema.TaggedError<ArtifactUnknown>()("ArtifactUnknown", {
  reference: Schema.String
}) {
  override get message(): string {
    return `the registry has no snapshot called ${this.reference}; nothing was taken into the store`
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
