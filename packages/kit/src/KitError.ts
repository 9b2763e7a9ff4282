/**
 * Everything that can go wrong with the guest kit: one public error, each cause with a name of its own.
 *
 * @module
 */
import { type FileFault, type FileUnfit, GuestAgentMissing } from "@stillpoint/core"
import { Effect, Schema } from "effect"

/** The configuration of the kit is invalid; `problems` has a line for each problem. Nothing was fetched. */
export class KitConfigInvalid extends Schema.TaggedError<KitConfigInvalid>()("KitConfigInvalid", {
  what: Schema.String,
  problems: Schema.String
}) {
  override get message(): string {
    return `${this.what}: ${this.problems}`
  }
}

/** The archive did not answer, or answered with an error. */
export class ArchiveUnreachable extends Schema.TaggedError<ArchiveUnreachable>()("ArchiveUnreachable", {
  url: Schema.String,
  /** HTTP status, or `null` when there was no answer. */
  status: Schema.NullOr(Schema.Int),
  detail: Schema.String
}) {
  override get message(): string {
    const found = this.status === null ? this.detail : `status ${this.status} (${this.detail})`
    return `expected to fetch ${this.url}, found ${found}; the guest kit needs the archive once, then works offline`
  }
}

/** Fetched bytes do not match a signed or locked digest. They were discarded. */
export class DigestMismatch extends Schema.TaggedError<DigestMismatch>()("DigestMismatch", {
  source: Schema.String,
  expectedSha256: Schema.String,
  foundSha256: Schema.String,
  expectedBytes: Schema.Int,
  foundBytes: Schema.Int
}) {
  override get message(): string {
    return (
      `${this.source}: expected ${this.expectedBytes} bytes with SHA-256 ${this.expectedSha256}, ` +
      `found ${this.foundBytes} bytes with ${this.foundSha256}; they were discarded ` +
      `(if the archive, or a cache in front of it, is being updated, try again later)`
    )
  }
}

/** The release index is not signed by a key of the keyring. */
export class SignatureInvalid extends Schema.TaggedError<SignatureInvalid>()("SignatureInvalid", {
  source: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.source}: expected a signature by a key of Debian's archive, found: ${this.detail}`
  }
}

/** A program or keyring that the kit needs is not on this host. */
export class PrerequisiteMissing extends Schema.TaggedError<PrerequisiteMissing>()("PrerequisiteMissing", {
  what: Schema.String,
  install: Schema.String
}) {
  override get message(): string {
    return `${this.what} is missing; ${this.install}`
  }
}

/** A signed index, a package or a lock file is malformed. */
export class FormatInvalid extends Schema.TaggedError<FormatInvalid>()("FormatInvalid", {
  source: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.source}: expected ${this.expected}, found ${this.found}`
  }
}

/** The archive's index has no such package. */
export class PackageUnknown extends Schema.TaggedError<PackageUnknown>()("PackageUnknown", {
  name: Schema.String,
  source: Schema.String
}) {
  override get message(): string {
    return `expected the package ${this.name} in ${this.source}, found none`
  }
}

/** The archive no longer has the locked package, and neither does the service that keeps old packages. */
export class LockedPackageGone extends Schema.TaggedError<LockedPackageGone>()("LockedPackageGone", {
  name: Schema.String,
  version: Schema.String,
  /** Answer of the archive. */
  archive: Schema.String,
  /** Answer of the service that keeps old packages. */
  past: Schema.String
}) {
  override get message(): string {
    return (
      `the locked ${this.name} ${this.version} is no longer available (${this.archive}; ${this.past}); ` +
      `to use the newest version instead, and have that recorded, set whenGone: "newest" or STILLPOINT_KIT_WHEN_GONE=newest; ` +
      "to lock the versions that the archive has now: npx stillpoint-kit lock (in a checkout: make kit-lock)"
    )
  }
}

/** A file of the kit cannot be read or written on this host. */
export class FileUnusable extends Schema.TaggedError<FileUnusable>()("FileUnusable", {
  path: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.path} cannot be used: ${this.detail}`
  }
}

/** The causes of a kit error. */
export const KitReason = Schema.Union([
  KitConfigInvalid,
  ArchiveUnreachable,
  DigestMismatch,
  SignatureInvalid,
  PrerequisiteMissing,
  FormatInvalid,
  PackageUnknown,
  LockedPackageGone,
  FileUnusable,
  GuestAgentMissing
])
export type KitReason = typeof KitReason.Type

/** The guest kit is not available; `reason` says why. */
export class KitError extends Schema.TaggedError<KitError>()("KitError", { reason: KitReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A valid configuration of the kit, or all its problems. */
export const checkedConfig = <T, E>(
  what: string,
  schema: Schema.Codec<T, E>,
  config: unknown
): Effect.Effect<T, KitError> =>
  Effect.mapError(
    Schema.decodeUnknownEffect(schema, { errors: "all", onExcessProperty: "error" })(config),
    ({ message }) => new KitError({ reason: new KitConfigInvalid({ what, problems: message }) })
  )

/** A function: a program without types may have anything in its place. */
export const functionSchema = <F>() =>
  Schema.declare((value: unknown): value is F => typeof value === "function", { expected: "a function" })

/** The kit's error for a file's error. */
export const unusable = (fault: FileFault | FileUnfit): KitError => {
  const detail =
    fault._tag === "FileFault"
      ? `${fault.operation} failed: ${fault.code}`
      : `expected ${fault.expected}, found ${fault.found}`
  return new KitError({ reason: new FileUnusable({ path: fault.path, detail }) })
}
