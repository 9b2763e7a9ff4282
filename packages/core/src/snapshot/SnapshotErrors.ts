/**
 * One error per operation of the {@link SnapshotStore}, each with a tagged `reason` that names the file concerned.
 *
 * @module
 */
import { Schema } from "effect"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { ManifestEdited, ManifestUnreadable, ManifestVersionUnknown } from "./Manifest.ts"

/** Nothing stands at the path of a snapshot, or not a directory. */
export class SnapshotMissing extends Schema.TaggedError<SnapshotMissing>()("SnapshotMissing", {
  path: Schema.String,
  found: Schema.Literals(["nothing", "file", "link", "other"])
}) {
  override get message(): string {
    return `expected a snapshot directory at ${this.path}, found ${this.found}`
  }
}

/** The directory has no manifest: it was never published, or was emptied. */
export class ManifestMissing extends Schema.TaggedError<ManifestMissing>()("ManifestMissing", {
  path: Schema.String,
  holds: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `expected ${this.path}; the directory holds ${
      this.holds.length === 0 ? "nothing" : this.holds.join(", ")
    }: it is not a published snapshot`
  }
}

/** A file that the manifest lists is not there. */
export class SnapshotFileMissing extends Schema.TaggedError<SnapshotFileMissing>()("SnapshotFileMissing", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path} is listed in the manifest and missing`
  }
}

/** A file has another size than the manifest says. */
export class SnapshotFileResized extends Schema.TaggedError<SnapshotFileResized>()("SnapshotFileResized", {
  path: Schema.String,
  expectedBytes: Schema.Natural,
  foundBytes: Schema.Natural
}) {
  override get message(): string {
    return `${this.path} has ${this.foundBytes} bytes, the manifest says ${this.expectedBytes}`
  }
}

/** A file has other contents than the manifest says: edited, damaged, or from another snapshot. */
export class SnapshotFileAltered extends Schema.TaggedError<SnapshotFileAltered>()("SnapshotFileAltered", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} was altered or belongs to another snapshot: its digest is ${this.found}, the manifest says ${this.expected}`
  }
}

/** Why one directory is not the snapshot that it should be. */
export const SnapshotRefusal = Schema.Union([
  SnapshotMissing,
  ManifestMissing,
  ManifestUnreadable,
  ManifestVersionUnknown,
  ManifestEdited,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotFileAltered,
  FileUnfit,
  FileFault
])
export type SnapshotRefusal = typeof SnapshotRefusal.Type

/** What a delta was taken against cannot be used. */
export class ParentRefused extends Schema.TaggedError<ParentRefused>()("ParentRefused", {
  path: Schema.String,
  parent: Schema.String,
  cause: SnapshotRefusal
}) {
  override get message(): string {
    return `${this.path} holds what changed since ${this.parent}, which is refused: ${this.cause.message}`
  }
}

/** A delta's parent is not the snapshot it was taken against. */
export class ParentMismatch extends Schema.TaggedError<ParentMismatch>()("ParentMismatch", {
  path: Schema.String,
  parent: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} is a delta to ${this.parent} with digest ${this.expected}; what stands there now has ${this.found}`
  }
}

/** A delta names itself, or one that is a delta to it, as its parent. */
export class ParentCyclic extends Schema.TaggedError<ParentCyclic>()("ParentCyclic", {
  path: Schema.String,
  parent: Schema.String
}) {
  override get message(): string {
    return `${this.path} names ${this.parent} as its parent, which leads back to itself: one of them was moved or edited`
  }
}

/** The snapshot asked for a validation that has not passed. */
export class SnapshotNotReady extends Schema.TaggedError<SnapshotNotReady>()("SnapshotNotReady", {
  path: Schema.String,
  verdict: Schema.Literals(["absent", "failed", "foreign"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.verdict === "absent"
      ? `${this.path} was never validated, and its manifest requires it`
      : this.verdict === "foreign"
        ? `the validation record of ${this.path} speaks about another snapshot`
        : `${this.path} failed its validation: ${this.detail}`
  }
}

const shortKeys = (ids: ReadonlyArray<string>): string => ids.map((id) => id.slice(0, 12)).join(", ")

/** The snapshot is not signed by any of the keys that are required. Ids of keys. */
export class SnapshotNotSigned extends Schema.TaggedError<SnapshotNotSigned>()("SnapshotNotSigned", {
  path: Schema.String,
  /** `broken`: a signature of such a key is of something else; `verdict`: of another verdict than the one that stands there. */
  why: Schema.Literals(["none", "others", "broken", "verdict"]),
  expected: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { expected, found, path, why } = this
    const keys = expected.length === 0 ? "a key, and none is trusted" : `one of the keys ${shortKeys(expected)}`
    const what =
      why === "none"
        ? "no signature"
        : why === "others"
          ? `signatures of ${shortKeys(found)}`
          : why === "broken"
            ? "a signature that is not of it"
            : "a signature of it with another verdict"
    return `${path}: expected a signature by ${keys}, found ${what}; nothing of it was used`
  }
}

/** Another snapshot stands where the one that is meant stood. Digests of manifests; `none` for no snapshot. */
export class SnapshotReplaced extends Schema.TaggedError<SnapshotReplaced>()("SnapshotReplaced", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return this.found === "none"
      ? `the snapshot ${this.expected} no longer stands at ${this.path}`
      : `another snapshot stands at ${this.path}: expected ${this.expected}, found ${this.found}`
  }
}

/** Why a snapshot was refused when opened. */
export const SnapshotOpenReason = Schema.Union([
  ...SnapshotRefusal.members,
  ParentRefused,
  ParentMismatch,
  ParentCyclic,
  SnapshotReplaced,
  SnapshotNotSigned,
  SnapshotNotReady
])
export type SnapshotOpenReason = typeof SnapshotOpenReason.Type

/** A snapshot was refused; nothing of it was executed. */
export class SnapshotOpenError extends Schema.TaggedError<SnapshotOpenError>()("SnapshotOpenError", {
  path: Schema.String,
  reason: SnapshotOpenReason
}) {
  override get message(): string {
    return `snapshot refused: ${this.reason.message}`
  }
}

/** What stands at a target is no snapshot, and is not touched. */
export class TargetUnfit extends Schema.TaggedError<TargetUnfit>()("TargetUnfit", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected a snapshot or nothing at ${this.path}, found ${this.found}; it is left alone: choose another target`
  }
}

/** Another snapshot was published to the same target meanwhile. */
export class TargetTaken extends Schema.TaggedError<TargetTaken>()("TargetTaken", { path: Schema.String }) {
  override get message(): string {
    return `another snapshot was published to ${this.path} in the meantime; choose another target or publish with replace`
  }
}

/** Somebody else is busy putting a snapshot at the target, and for longer than was waited. */
export class TargetBusy extends Schema.TaggedError<TargetBusy>()("TargetBusy", {
  path: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `${this.path} was held by other publishers for ${this.waitedMillis} ms; nothing was changed`
  }
}

/** What was published cannot be described so that it can be read again. */
export class ManifestUnfit extends Schema.TaggedError<ManifestUnfit>()("ManifestUnfit", {
  target: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `the manifest of ${this.target} could not be read again: ${this.why}; make policy, configuration or provenance smaller`
  }
}

/**
 * The snapshot stands at its target, whether it survives a crash is not known, and it could not be taken back. What it replaced is
 * kept beside it.
 */
export class PublishUnsettled extends Schema.TaggedError<PublishUnsettled>()("PublishUnsettled", {
  path: Schema.String,
  fault: FileFault,
  /** Directory of the old snapshot's contents; `null` if nothing was replaced. */
  kept: Schema.NullOr(Schema.String),
  undoing: FileFault
}) {
  override get message(): string {
    return (
      `the new snapshot stands at ${this.path}, but ${this.fault.message}, and taking it back failed too (${this.undoing.message}); ` +
      (this.kept === null ? "nothing was there before" : `the contents of the old one are kept in ${this.kept}`)
    )
  }
}

/** Something stands at the target of a publish, and replacing it was not asked for. */
export class TargetExists extends Schema.TaggedError<TargetExists>()("TargetExists", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} exists; choose another target or publish with replace`
  }
}

/** A delta would be published over a snapshot that it needs. */
export class TargetNeeded extends Schema.TaggedError<TargetNeeded>()("TargetNeeded", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} is what the delta was taken against and cannot be replaced by it; choose another target or take a full snapshot`
  }
}

/** What was captured is not a delta to the given parent, or is one and no parent was given. Identities; `none` for none. */
export class CaptureMismatch extends Schema.TaggedError<CaptureMismatch>()("CaptureMismatch", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected a capture against ${this.expected}, found one against ${this.found}; publish it with the parent that it was captured with`
  }
}

/** Why a snapshot could not be published. */
export const SnapshotPublishReason = Schema.Union([
  TargetExists,
  TargetTaken,
  TargetUnfit,
  TargetBusy,
  TargetNeeded,
  CaptureMismatch,
  ManifestUnfit,
  SnapshotReplaced,
  PublishUnsettled,
  SnapshotFileMissing,
  SnapshotFileResized,
  ManifestUnreadable,
  FileUnfit,
  FileFault
])
export type SnapshotPublishReason = typeof SnapshotPublishReason.Type

/** A snapshot could not be published; what stood at the target before still stands there, unless the reason says otherwise. */
export class SnapshotPublishError extends Schema.TaggedError<SnapshotPublishError>()("SnapshotPublishError", {
  target: Schema.String,
  reason: SnapshotPublishReason
}) {
  override get message(): string {
    return `not published: ${this.reason.message}`
  }
}

/** Why a snapshot could not be removed. */
export const SnapshotRemoveReason = Schema.Union([TargetUnfit, TargetBusy, FileUnfit, FileFault])
export type SnapshotRemoveReason = typeof SnapshotRemoveReason.Type

/** A snapshot could not be removed. What was no snapshot was left alone. */
export class SnapshotRemoveError extends Schema.TaggedError<SnapshotRemoveError>()("SnapshotRemoveError", {
  path: Schema.String,
  reason: SnapshotRemoveReason
}) {
  override get message(): string {
    return `not removed: ${this.reason.message}`
  }
}
