/**
 * One error per operation of the {@link SnapshotStore}, each with a tagged `reason` that names the file concerned.
 *
 * @module
 */
import { Schema } from "effect"
import { FileFault, FileUnfit } from "../files/FileErrors.ts"
import { ManifestEdited, ManifestUnreadable, ManifestVersionUnknown } from "./Manifest.ts"

/** There is no directory at the path of the snapshot. */
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

/** A file that the manifest lists is missing. */
export class SnapshotFileMissing extends Schema.TaggedError<SnapshotFileMissing>()("SnapshotFileMissing", {
  path: Schema.String
}) {
  override get message(): string {
    return `${this.path} is listed in the manifest, but missing`
  }
}

/** The size of a file differs from the manifest. */
export class SnapshotFileResized extends Schema.TaggedError<SnapshotFileResized>()("SnapshotFileResized", {
  path: Schema.String,
  expectedBytes: Schema.Natural,
  foundBytes: Schema.Natural
}) {
  override get message(): string {
    return `${this.path} has ${this.foundBytes} bytes, the manifest says ${this.expectedBytes}`
  }
}

/** The contents of a file differ from the manifest: it was edited or damaged, or belongs to another snapshot. */
export class SnapshotFileAltered extends Schema.TaggedError<SnapshotFileAltered>()("SnapshotFileAltered", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} was altered or belongs to another snapshot: its digest is ${this.found}, the manifest says ${this.expected}`
  }
}

/** The snapshot is encrypted, and no key was given. */
export class KeyMissing extends Schema.TaggedError<KeyMissing>()("KeyMissing", {
  path: Schema.String,
  /** Id of its key. */
  expected: Schema.String
}) {
  override get message(): string {
    return `${this.path} is encrypted: expected the encryption key ${this.expected}, found none`
  }
}

/** The snapshot is encrypted with another key. `expected` and `found` are ids of keys. */
export class KeyWrong extends Schema.TaggedError<KeyWrong>()("KeyWrong", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path}: expected the encryption key ${this.expected}, found the key ${this.found}`
  }
}

/** An encryption key was given, and the snapshot is not encrypted: anyone can have written it. */
export class NotEncrypted extends Schema.TaggedError<NotEncrypted>()("NotEncrypted", {
  path: Schema.String,
  /** Id of the given key. */
  expected: Schema.String
}) {
  override get message(): string {
    return (
      `${this.path}: expected a snapshot encrypted with the key ${this.expected}, found one that is not encrypted: ` +
      "anyone can have written it; if you trust it, use it without a key"
    )
  }
}

/** Someone without the encryption key has changed a file of an encrypted snapshot, and adapted its digests. */
export class FileForged extends Schema.TaggedError<FileForged>()("FileForged", {
  path: Schema.String,
  /** Id of the key. */
  expected: Schema.String
}) {
  override get message(): string {
    return (
      `${this.path}: expected a file that was written with the encryption key ${this.expected}, found one that was changed or ` +
      "swapped by someone without it; the snapshot was not used"
    )
  }
}

/** Why a directory is refused as a snapshot. */
export const SnapshotRefusal = Schema.Union([
  SnapshotMissing,
  ManifestMissing,
  ManifestUnreadable,
  ManifestVersionUnknown,
  ManifestEdited,
  SnapshotFileMissing,
  SnapshotFileResized,
  SnapshotFileAltered,
  KeyMissing,
  KeyWrong,
  NotEncrypted,
  FileForged,
  FileUnfit,
  FileFault
])
export type SnapshotRefusal = typeof SnapshotRefusal.Type

/** The parent of a delta was refused. */
export class ParentRefused extends Schema.TaggedError<ParentRefused>()("ParentRefused", {
  path: Schema.String,
  parent: Schema.String,
  cause: SnapshotRefusal
}) {
  override get message(): string {
    return `${this.path} is a delta to ${this.parent}, which is refused: ${this.cause.message}`
  }
}

/** The snapshot at the place of a delta's parent is a different one. */
export class ParentMismatch extends Schema.TaggedError<ParentMismatch>()("ParentMismatch", {
  path: Schema.String,
  parent: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} is a delta to ${this.parent} with digest ${this.expected}; the snapshot there now has ${this.found}`
  }
}

/** A delta's chain of parents leads back to itself. */
export class ParentCyclic extends Schema.TaggedError<ParentCyclic>()("ParentCyclic", {
  path: Schema.String,
  parent: Schema.String
}) {
  override get message(): string {
    return `${this.path} names ${this.parent} as its parent, which leads back to itself: one of them was moved or edited`
  }
}

/** The snapshot requires a validation that has not passed. */
export class SnapshotNotReady extends Schema.TaggedError<SnapshotNotReady>()("SnapshotNotReady", {
  path: Schema.String,
  verdict: Schema.Literals(["absent", "failed", "foreign"]),
  detail: Schema.String
}) {
  override get message(): string {
    return this.verdict === "absent"
      ? `${this.path} was never validated, and its manifest requires it`
      : this.verdict === "foreign"
        ? `the validation record of ${this.path} belongs to another snapshot`
        : `${this.path} failed its validation: ${this.detail}`
  }
}

const shortKeys = (ids: ReadonlyArray<string>): string => ids.map((id) => id.slice(0, 12)).join(", ")

/** The snapshot is not signed by any of the required keys. `expected` and `found` are key ids. */
export class SnapshotNotSigned extends Schema.TaggedError<SnapshotNotSigned>()("SnapshotNotSigned", {
  path: Schema.String,
  /** `broken`: a signature by such a key does not match the snapshot; `verdict`: it covers a different validation verdict. */
  why: Schema.Literals(["none", "others", "broken", "verdict"]),
  expected: Schema.Array(Schema.String),
  found: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const { expected, found, path, why } = this
    const keys =
      expected.length === 0 ? "a required key, of which there are none" : `one of the keys ${shortKeys(expected)}`
    const what =
      why === "none"
        ? "no signature"
        : why === "others"
          ? `signatures of ${shortKeys(found)}`
          : why === "broken"
            ? "a signature that does not match it"
            : "a signature for a different validation verdict"
    return `${path}: expected a signature by ${keys}, found ${what}; the snapshot was not used`
  }
}

/** The snapshot at a path was replaced or removed. `expected` and `found` are digests of manifests, or `none`. */
export class SnapshotReplaced extends Schema.TaggedError<SnapshotReplaced>()("SnapshotReplaced", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return this.found === "none"
      ? `the snapshot ${this.expected} is no longer at ${this.path}`
      : `another snapshot is at ${this.path}: expected ${this.expected}, found ${this.found}`
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

/** A snapshot was refused before any of it was executed. */
export class SnapshotOpenError extends Schema.TaggedError<SnapshotOpenError>()("SnapshotOpenError", {
  path: Schema.String,
  reason: SnapshotOpenReason
}) {
  override get message(): string {
    return `snapshot refused: ${this.reason.message}`
  }
}

/** The target of a publish or a removal is something other than a snapshot. It is left untouched. */
export class TargetUnfit extends Schema.TaggedError<TargetUnfit>()("TargetUnfit", {
  path: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected a snapshot or nothing at ${this.path}, found ${this.found}; it was not touched: choose another target`
  }
}

/** Another snapshot was published to the same target in the meantime. */
export class TargetTaken extends Schema.TaggedError<TargetTaken>()("TargetTaken", { path: Schema.String }) {
  override get message(): string {
    return `another snapshot was published to ${this.path} in the meantime; choose another target or publish with replace`
  }
}

/** Other publishers held the target for longer than the wait allowed. */
export class TargetBusy extends Schema.TaggedError<TargetBusy>()("TargetBusy", {
  path: Schema.String,
  waitedMillis: Schema.Number
}) {
  override get message(): string {
    return `${this.path} was held by other publishers for ${this.waitedMillis} ms; nothing was changed: try again`
  }
}

/** The manifest would be too large or too deep to be read again. */
export class ManifestUnfit extends Schema.TaggedError<ManifestUnfit>()("ManifestUnfit", {
  target: Schema.String,
  why: Schema.String
}) {
  override get message(): string {
    return `the manifest of ${this.target} could not be read again: ${this.why}; make the policy, configuration or provenance smaller`
  }
}

/**
 * The new snapshot is at its target, but it may not survive a crash, and undoing the publish failed too. The snapshot that it
 * replaced is kept beside it.
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
      `the new snapshot is at ${this.path}, but ${this.fault.message}, and undoing the publish failed too (${this.undoing.message}); ` +
      (this.kept === null ? "nothing was there before" : `the contents of the old one are kept in ${this.kept}`)
    )
  }
}

/** The target of a publish exists, and `replace` was not set. */
export class TargetExists extends Schema.TaggedError<TargetExists>()("TargetExists", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} exists; choose another target or publish with replace`
  }
}

/** The target of a delta is a snapshot that the delta needs. */
export class TargetNeeded extends Schema.TaggedError<TargetNeeded>()("TargetNeeded", { path: Schema.String }) {
  override get message(): string {
    return `${this.path} is a parent of the delta and cannot be replaced by it; choose another target or take a full snapshot`
  }
}

/** The capture is not a delta to the given parent, or is a delta and no parent was given. `expected` and `found` are identities, or `none`. */
export class CaptureMismatch extends Schema.TaggedError<CaptureMismatch>()("CaptureMismatch", {
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `expected a capture against ${this.expected}, found one against ${this.found}; publish it with the parent of its capture`
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
  KeyMissing,
  KeyWrong,
  NotEncrypted,
  FileUnfit,
  FileFault
])
export type SnapshotPublishReason = typeof SnapshotPublishReason.Type

/** A snapshot could not be published. The target is unchanged unless the reason says otherwise. */
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

/** A snapshot could not be removed. Anything that is not a snapshot was left untouched. */
export class SnapshotRemoveError extends Schema.TaggedError<SnapshotRemoveError>()("SnapshotRemoveError", {
  path: Schema.String,
  reason: SnapshotRemoveReason
}) {
  override get message(): string {
    return `not removed: ${this.reason.message}`
  }
}
