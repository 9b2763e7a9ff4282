/**
 * What can keep a snapshot from becoming an archive.
 *
 * @module
 */
import { Schema } from "effect"

/** A snapshot holds only what changed since another one: alone it is of no use elsewhere. */
export class ExportOfDelta extends Schema.TaggedError<ExportOfDelta>()("ExportOfDelta", {
  reference: Schema.String,
  parent: Schema.String
}) {
  override get message(): string {
    return `${this.reference} holds only what changed since ${this.parent.slice(0, 12)}: make one whole snapshot of both first (compactSnapshot)`
  }
}
