/**
 * What no schema of a flag can refuse by itself.
 *
 * @module
 */
import { Schema } from "effect"

/** An argument that no schema of a flag can refuse by itself. */
export class ArgumentInvalid extends Schema.TaggedError<ArgumentInvalid>()("ArgumentInvalid", {
  argument: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.argument}: expected ${this.expected}, found ${this.found}`
  }
}
