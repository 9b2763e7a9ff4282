/**
 * The manifest: the contents of a snapshot directory, their origin, and the digest that seals them.
 *
 * ```text
 * <snapshot>/
 *   manifest.json     this record; written last: with its rename the snapshot is there, or is replaced
 *   publish.lock      empty; held by who puts a manifest there
 *   contents-<id>/    everything else, in a directory of its own, which the manifest names
 *     …               the files of the capture: memory in objects, the digests of its chunks, the machine's state
 *     timeline.ndjson the guest's events up to the capture
 *     validation.json verdict of the validation, if one was asked for; written after the manifest
 *     owner.json, owner.lock   by whom it was made (see OwnedDirectory)
 * ```
 *
 * `format`, `version`, `engine` come first and keep their meaning in every version, so that any build can name what it was given.
 * `digest` is the SHA-256 of the canonical JSON (keys sorted, no spaces) of everything else. It covers the SHA-256 of every file,
 * except files whose chunks are checked on first touch: for those it covers the tables of digests.
 *
 * A delta's memory holds only the pages that may differ from those of its `parent`, which it names by directory and
 * digest; the parent may be a delta itself. A snapshot is what its whole chain says, or refused.
 *
 * `encryption` names the key of an encrypted snapshot (see `encryption.ts`). The manifest itself is always readable.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { Effect, Result, Schema } from "effect"
import { EngineChoice } from "../EngineChoice.ts"
import { isTooDeep, mostJsonLevels, parseBoundedJson } from "../internal/boundedJson.ts"
import { canonicalJson } from "../internal/canonicalJson.ts"
import { type CaptureEncryption, type EncryptionKey, manifestTag, SnapshotEncryption } from "../encryption.ts"

/** Name of the manifest in a snapshot directory. */
export const manifestFileName = "manifest.json"
/** Name of the recorded timeline beside the other contents. */
export const timelineFileName = "timeline.ndjson"
/** Name of the validation record beside the other contents. */
export const validationFileName = "validation.json"

/** Largest manifest that is written or read, bytes. */
export const mostManifestBytes = 16 << 20

/** The manifest version that this build writes. */
export const manifestVersion = 1

/** Lower-case hexadecimal SHA-256. */
export const Sha256 = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/))

/** The first fields of every version of a manifest. */
export const ManifestHeader = Schema.Struct({
  format: Schema.Literal("stillpoint-snapshot"),
  version: Schema.Natural,
  /** Name of the engine that made the machine state. */
  engine: Schema.String
})
export type ManifestHeader = typeof ManifestHeader.Type

/** How the bytes of one file are checked: as a whole on opening, or by chunk on first touch. */
export const FileVerification = Schema.Union([
  Schema.Struct({
    kind: Schema.Literal("whole"),
    sha256: Sha256,
    /** If it is the table of memory that lies in objects: guest-physical address of the first chunk. */
    guestAddress: Schema.optionalKey(Schema.Natural)
  }),
  Schema.Struct({
    kind: Schema.Literal("byChunk"),
    /** The file that holds the digests of its chunks. */
    table: Schema.String,
    /** Guest-physical address of its first byte; `null` if it is not memory from there on. */
    guestAddress: Schema.NullOr(Schema.Natural)
  })
])

/** One file of a snapshot. */
export const ManifestFile = Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/)),
  sizeBytes: Schema.Natural,
  /** Bytes that the file occupied on the disk when written; smaller than the size where it is sparse. */
  storedBytes: Schema.Natural,
  verification: FileVerification
})
export type ManifestFile = typeof ManifestFile.Type

/** The moment and the cost of the capture. */
export const CaptureRecord = Schema.Struct({
  atNanos: Schema.Natural,
  seq: Schema.Int,
  /** Host time during which the guest could not run, nanoseconds. */
  pauseNanos: Schema.Number.check(Schema.isFinite(), Schema.isGreaterThanOrEqualTo(0)),
  /** Whether the agent had frozen the workload: the gate then thaws it, after the new identity. */
  isWorkloadFrozen: Schema.Boolean,
  /** Whether a guest agent had announced itself: without one, no identity can be acknowledged. */
  hasAgent: Schema.Boolean
})
export type CaptureRecord = typeof CaptureRecord.Type

/** Everything of a manifest that the publisher knows before the files are counted. */
export const ManifestFields = {
  /** Id of the run that took the snapshot. */
  runId: Schema.String,
  memoryMib: Schema.Natural,
  /** Why the machine had its engine; absent if that was not recorded. */
  engineChoice: Schema.optionalKey(EngineChoice),
  /** The boot specification as the caller gave it, without bulk bytes. */
  configuration: Schema.Json,
  /** The policy that was asked to decide. */
  policy: Schema.Json,
  /** The reasons for this moment: trigger, causing event, calm, verdict, losers. */
  provenance: Schema.Json,
  capture: CaptureRecord,
  /** `required`: the snapshot is not ready before `validation.json` says that it passed. */
  validation: Schema.Literals(["none", "required"])
} as const

/** Maximum bytes of the path to a parent, the kernel's limit for paths. */
const mostPathBytes = 4096

/** The problem with the path to a parent; `undefined` if it is valid. */
export const parentPathProblem = (path: string): string | undefined => {
  const foundBytes = Buffer.byteLength(path)
  if (foundBytes > mostPathBytes) return `expected a path of at most ${mostPathBytes} bytes, found ${foundBytes} bytes`
  return path.includes("\0") ? "expected a path without zero bytes" : undefined
}

/** Names of the directories of contents. */
export const contentsForm = /^contents-[0-9a-f]{32}$/

/** The snapshot that a delta was taken against. */
export const ParentReference = Schema.Struct({
  /** Its directory, relative to the parent folder of the delta's own. */
  directory: Schema.NonEmptyString.check(Schema.makeFilter(parentPathProblem)),
  /** Digest of its manifest, and so of everything in it, its own parent included. */
  digest: Sha256
})
export type ParentReference = typeof ParentReference.Type

/** The record in `manifest.json`. */
export const Manifest = Schema.Struct({
  ...ManifestHeader.fields,
  version: Schema.Literal(manifestVersion),
  ...ManifestFields,
  /** Names the machine state, as the engine that captured it does. */
  identity: Schema.String,
  /** `null`: the snapshot holds all of memory. Otherwise only what changed since that one. */
  parent: Schema.NullOr(ParentReference),
  /** Name of the directory beside the manifest that holds the files. */
  contents: Schema.String.check(Schema.isPattern(contentsForm)),
  files: Schema.Array(ManifestFile),
  /** How it is encrypted; absent if it is not. */
  encryption: Schema.optionalKey(SnapshotEncryption),
  digest: Sha256
})
export type Manifest = typeof Manifest.Type

const Draft = Schema.Struct({ engine: Schema.String, ...ManifestFields })
/** A publisher's part of a manifest; the store adds identity, parent, files and digest. */
export type ManifestDraft = typeof Draft.Type

/** SHA-256 of some bytes, lower-case hexadecimal. */
export const sha256 = (bytes: Uint8Array | string): string => createHash("sha256").update(bytes).digest("hex")

/** The seal of a record: SHA-256 of its canonical JSON without the `digest` key. */
export const sealOf = (record: Readonly<Record<string, unknown>>): string => {
  const { digest: _digest, ...rest } = record
  return sha256(canonicalJson(rest))
}

/** The complete, sealed manifest of a draft and its captured files. */
export const sealManifest = (
  draft: ManifestDraft,
  captured: Pick<Manifest, "identity" | "parent" | "contents" | "files">,
  encrypted?: { readonly encryption: CaptureEncryption; readonly key: EncryptionKey }
): Manifest => {
  const { engine, ...fields } = draft
  const { contents, files, identity, parent } = captured
  const open = {
    format: "stillpoint-snapshot" as const,
    version: 1 as const,
    engine,
    ...fields,
    identity,
    parent,
    contents,
    files
  }
  if (encrypted === undefined) return { ...open, digest: sealOf(open) }
  const { keyId, salt } = encrypted.encryption
  const tag = manifestTag(encrypted.key, encrypted.encryption, open)
  const tagged = { ...open, encryption: { keyId, salt, tag } }
  return { ...tagged, digest: sealOf(tagged) }
}

/** Why a draft cannot become a manifest that can be read again; `null` if it can. */
export const draftObstacle = (draft: ManifestDraft): string | null =>
  isTooDeep(draft) ? `it is nested deeper than ${mostJsonLevels} levels` : null

/** Bytes of `manifest.json`. */
export const encodeManifest = (manifest: Manifest): Uint8Array => new TextEncoder().encode(manifestText(manifest))

const manifestText = (record: unknown): string => `${JSON.stringify(record, null, 2)}\n`

const recordKind = Schema.Literals(["snapshot manifest", "validation record", "list of signatures"]).pipe(
  Schema.withDecodingDefaultKey(Effect.succeed("snapshot manifest" as const)),
  Schema.withConstructorDefault(Effect.succeed("snapshot manifest" as const))
)

/** A manifest's text is not JSON, or not a manifest. */
export class ManifestUnreadable extends Schema.TaggedError<ManifestUnreadable>()("ManifestUnreadable", {
  path: Schema.String,
  why: Schema.String,
  /** The expected content. */
  record: recordKind
}) {
  override get message(): string {
    return `${this.path} is not a ${this.record}: ${this.why}`
  }
}

/** A manifest of a version that this build does not know. Its header could be read all the same. */
export class ManifestVersionUnknown extends Schema.TaggedError<ManifestVersionUnknown>()("ManifestVersionUnknown", {
  path: Schema.String,
  found: Schema.Natural,
  supported: Schema.Natural,
  engine: Schema.String
}) {
  override get message(): string {
    return (
      `${this.path} has manifest version ${this.found} (engine ${this.engine}); this build reads version ${this.supported}: ` +
      "use the build that wrote it, or capture again"
    )
  }
}

/** A manifest's contents do not match its own digest: it was edited. */
export class ManifestEdited extends Schema.TaggedError<ManifestEdited>()("ManifestEdited", {
  path: Schema.String,
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return `${this.path} was edited: it is sealed with digest ${this.expected}, its contents have ${this.found}`
  }
}

/**
 * Reads the text of a manifest found at `path`: header first, then the seal, then everything.
 *
 * The seal is computed over the raw parsed record, so that no field can escape it.
 */
export const decodeManifest = Effect.fnUntraced(function* (path: string, text: string) {
  const unreadable = (why: string) => new ManifestUnreadable({ path, why })
  const parsed = parseBoundedJson(text)
  if (Result.isFailure(parsed)) return yield* unreadable(parsed.failure)
  const raw = parsed.success
  const header = yield* Schema.decodeUnknownEffect(ManifestHeader)(raw).pipe(
    Effect.mapError((error) => unreadable(error.message))
  )
  if (header.version !== manifestVersion) {
    return yield* new ManifestVersionUnknown({
      path,
      found: header.version,
      supported: manifestVersion,
      engine: header.engine
    })
  }
  // A seal says nothing about spaces, repeated keys and the last line's end.
  if (manifestText(raw) !== text) {
    return yield* unreadable("its text is not as it was written: it was cut or edited")
  }
  const record = raw as Readonly<Record<string, unknown>>
  const found = sealOf(record)
  if (record["digest"] !== found) {
    return yield* new ManifestEdited({ path, expected: String(record["digest"]), found })
  }
  return yield* Schema.decodeUnknownEffect(Manifest, { errors: "all" })(raw).pipe(
    Effect.mapError((error) => unreadable(error.message))
  )
})
