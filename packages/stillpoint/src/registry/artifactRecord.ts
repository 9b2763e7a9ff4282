/**
 * A snapshot as an artifact of an OCI registry.
 *
 * ```text
 * manifest   application/vnd.oci.image.manifest.v1+json, artifactType application/vnd.stillpoint.snapshot.v1
 *   config   the record: which snapshots, which files, and where in them which pieces stand
 *   layers   the pieces, each once: at most 4 MiB of a file, without the zeros around it
 *
 * files      <digest>/manifest.json         of the snapshot, and of each that it was taken against
 *            <digest>/files/<name>          what its manifest lists
 *            <digest>/validation.json, <digest>/signatures.json   if it has them
 *            image.erofs                    what the guest's root reads, if it runs an image
 * ```
 *
 * What no piece covers is zero. Equal pieces are one, so that of a snapshot whose like is there already only what differs travels.
 *
 * @module
 */
import { Sha256 } from "@stillpoint/core"
import { Schema } from "effect"

/** The version that this build writes and reads. */
export const recordVersion = 1

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const artifactType = "application/vnd.stillpoint.snapshot.v1"
export const recordType = "application/vnd.stillpoint.snapshot.record.v1+json"
export const pieceType = "application/vnd.stillpoint.snapshot.piece.v1"

/** Longest piece. */
export const pieceBytes = 4 << 20
/** Longest record that is read: some 40 bytes a MiB of what the artifact holds, and more. */
export const mostRecordBytes = 32 << 20
/** Most snapshots of one lineage that travel together. */
export const mostSnapshots = 1000

export const recordFile = "record.json"
export const imageFile = "image.erofs"
export const manifestOf = (digest: string): string => `${digest}/manifest.json`
export const validationOf = (digest: string): string => `${digest}/validation.json`
export const signaturesOf = (digest: string): string => `${digest}/signatures.json`
export const fileOf = (digest: string, name: string): string => `${digest}/files/${name}`

const Descriptor = Schema.Struct({
  mediaType: Schema.String,
  digest: Schema.String.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/)),
  size: Schema.Natural
})

/** The manifest of an artifact. */
export const ArtifactManifest = Schema.Struct({
  schemaVersion: Schema.Literal(2),
  mediaType: Schema.Literal(manifestType),
  artifactType: Schema.Literal(artifactType),
  config: Schema.Struct({ ...Descriptor.fields, mediaType: Schema.Literal(recordType) }),
  layers: Schema.Array(Descriptor)
})

/** What stands where in a file. */
export const RecordPiece = Schema.Struct({ offset: Schema.Natural, digest: Sha256, size: Schema.Natural })
export type RecordPiece = typeof RecordPiece.Type

/** A file of an artifact. */
export const RecordFile = Schema.Struct({
  path: Schema.String,
  sizeBytes: Schema.Natural,
  pieces: Schema.Array(RecordPiece)
})
export type RecordFile = typeof RecordFile.Type

/** What every version of a record begins with. */
export const RecordVersion = Schema.Struct({
  format: Schema.Literal("stillpoint-artifact"),
  version: Schema.Natural
})

/** The record. */
export const ArtifactRecord = Schema.Struct({
  ...RecordVersion.fields,
  /** The snapshot, then what it was taken against, and so on. */
  snapshots: Schema.Array(Sha256).check(Schema.isMinLength(1), Schema.isMaxLength(mostSnapshots)),
  /** Digest of the image that the guest runs; `null` for none. */
  image: Schema.NullOr(Sha256),
  files: Schema.Array(RecordFile)
})
export type ArtifactRecord = typeof ArtifactRecord.Type
