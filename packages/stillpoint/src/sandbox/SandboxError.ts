/**
 * Errors in the options of a sandbox.
 *
 * @module
 */
import { Schema } from "effect"

/** A moment is not a valid policy; `why` lists every problem. */
export class MomentInvalid extends Schema.TaggedError<MomentInvalid>()("MomentInvalid", {
  found: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return this.why
  }
}

/** An image is neither built in nor a valid reference. */
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

/** A sandbox was used after it was closed. */
export class SandboxClosed extends Schema.TaggedError<SandboxClosed>()("SandboxClosed", { id: Schema.String }) {
  override get message(): string {
    return `sandbox ${this.id} is closed`
  }
}

/** The file of an image could not be stored beside the snapshots that need it. */
export class ImageNotKept extends Schema.TaggedError<ImageNotKept>()("ImageNotKept", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `the image could not be stored at ${this.path}: ${this.code}`
  }
}

/** The command that validates a bake did not succeed in a clone. */
export class BakeNotValid extends Schema.TaggedError<BakeNotValid>()("BakeNotValid", {
  /** The name that was asked for, if one was. */
  name: Schema.NullOr(Schema.String),
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.name ?? "the new snapshot"} failed its validation: ${this.detail}; nothing was stored`
  }
}
