/**
 * Errors of pulling a snapshot from a registry.
 *
 * @module
 */
import { Schema } from "effect"

/** The registry has no artifact of that name. */
export class ArtifactUnknown extends Schema.TaggedError<ArtifactUnknown>()("ArtifactUnknown", {
  reference: Schema.String
}) {
  override get message(): string {
    return `the registry has no snapshot called ${this.reference}; nothing was taken into the store`
  }
}

/** Another process was pulling the same artifact for longer than the wait allowed. */
export class PullBusy extends Schema.TaggedError<PullBusy>()("PullBusy", {
  reference: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `another process has been pulling ${this.reference} for ${this.waitedMillis} ms; try again when it is done`
  }
}
