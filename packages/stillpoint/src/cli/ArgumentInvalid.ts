/**
 * Errors in arguments that no flag's schema can detect.
 *
 * @module
 */
import { Schema } from "effect"

/** An argument is invalid in a way that no flag's schema can detect. */
export class ArgumentInvalid extends Schema.TaggedError<ArgumentInvalid>()("ArgumentInvalid", {
  argument: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.argument}: expected ${this.expected}, found ${this.found}`
  }
}
