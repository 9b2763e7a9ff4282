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
    const expected =
      "expected kit:httpd, oci:FOLDER[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] " +
      "or docker://REGISTRY/NAME[:TAG]"
    return this.found.startsWith("kit:")
      ? `no built-in image is called ${this.found}${this.meant}; ${expected}`
      : `${expected}, found ${JSON.stringify(this.found)}`
  }
}

/** An image's guest is of a platform that this host does not run. */
export class PlatformUnusable extends Schema.TaggedError<PlatformUnusable>()("PlatformUnusable", {
  image: Schema.String,
  /** What was found instead of an image that this host runs. */
  found: Schema.String,
  /** Why this host does not run guests of linux/amd64. */
  why: Schema.String
}) {
  override get message(): string {
    return (
      `${this.image}: expected an image for a platform that this host runs: linux/riscv64; found ${this.found}. ` +
      `linux/amd64 runs under KVM, not here: ${this.why}. Take an image that has linux/riscv64, or a host whose KVM runs Linux; ` +
      "stillpoint doctor says what works"
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

/** The file system of a store has no room for a snapshot. */
export class StoreFull extends Schema.TaggedError<StoreFull>()("StoreFull", {
  home: Schema.String,
  /** What is left there for this user, if the system says so. */
  freeMib: Schema.NullOr(Schema.Natural)
}) {
  override get message(): string {
    const free = this.freeMib === null ? "" : `, ${this.freeMib} MiB are free`
    return (
      `no space left for the snapshot in ${this.home}${free}; nothing was stored. Free some (stillpoint prune removes what ` +
      "nothing needs), or set STILLPOINT_HOME to a folder on another disk"
    )
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
