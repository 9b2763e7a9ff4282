/**
 * What can be wrong with what is asked of a sandbox.
 *
 * @module
 */
import { Schema } from "effect"

/** A moment is no policy: it is told in full by the cause. */
export class MomentInvalid extends Schema.TaggedError<MomentInvalid>()("MomentInvalid", {
  found: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return this.why
  }
}

/** An image is neither built in nor a reference to one. */
export class ImageUnknown extends Schema.TaggedError<ImageUnknown>()("ImageUnknown", {
  found: Schema.String,
  meant: Schema.String
}) {
  override get message(): string {
    return (
      `no built-in image is called ${this.found}${this.meant}; expected kit:httpd, oci:FOLDER[:TAG], docker-archive:FILE ` +
      "or docker://REGISTRY/NAME[:TAG]"
    )
  }
}

/** What was asked for cannot be; nothing was done for it. */
export class OptionsInvalid extends Schema.TaggedError<OptionsInvalid>()("OptionsInvalid", {
  operation: Schema.String,
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    const { operation, problems } = this
    return problems.map((problem) => `${operation}: ${problem}`).join("\n")
  }
}

/** A sandbox is used after it was closed. */
export class SandboxClosed extends Schema.TaggedError<SandboxClosed>()("SandboxClosed", { id: Schema.String }) {
  override get message(): string {
    return `sandbox ${this.id} is closed`
  }
}

/** A file of an image could not be kept beside the snapshots that read it. */
export class ImageNotKept extends Schema.TaggedError<ImageNotKept>()("ImageNotKept", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `the image could not be kept at ${this.path}: ${this.code}`
  }
}
