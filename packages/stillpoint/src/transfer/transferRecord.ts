/**
 * The form in which a snapshot travels, in an archive or through a registry: a record, and the pieces that it names.
 *
 * ```text
 * record   which snapshots, which files, and where in them which pieces stand
 * piece    at most 4 MiB of a file, without the zeros around it, named by its SHA-256
 *
 * files    <digest>/manifest.json         of the snapshot, and of each that it was taken against
 *          <digest>/files/<name>          what its manifest lists
 *          <digest>/validation.json, <digest>/signatures.json   if it has them
 *          image.erofs                    what the guest's root reads, if it runs an image
 * ```
 *
 * Bytes without a piece are zero. Equal pieces are stored once, so if the store has a similar snapshot, only the differences
 * travel.
 *
 * @module
 */
import { Sha256 } from "@stillpoint/core"
import { Schema } from "effect"

/** Longest piece. */
export const pieceBytes = 4 << 20
/** Maximum length of a record: about 40 bytes for each MiB of the artifact, and a margin. */
export const mostRecordBytes = 32 << 20
/** Maximum number of snapshots of one lineage that travel together. */
export const mostSnapshots = 1000

export const imageFile = "image.erofs"
export const manifestOf = (digest: string): string => `${digest}/manifest.json`
export const validationOf = (digest: string): string => `${digest}/validation.json`
export const signaturesOf = (digest: string): string => `${digest}/signatures.json`
export const fileOf = (digest: string, name: string): string => `${digest}/files/${name}`

/** The place of a piece in a file. */
export const RecordPiece = Schema.Struct({ offset: Schema.Natural, digest: Sha256, size: Schema.Natural })
export type RecordPiece = typeof RecordPiece.Type

/** A file of an artifact. */
export const RecordFile = Schema.Struct({
  path: Schema.String,
  sizeBytes: Schema.Natural,
  pieces: Schema.Array(RecordPiece)
})
export type RecordFile = typeof RecordFile.Type

/** The fields of every record, in an archive or in a registry. */
export const TransferRecord = Schema.Struct({
  format: Schema.String,
  version: Schema.Natural,
  /** The snapshot, then its parent, and so on. */
  snapshots: Schema.Array(Sha256).check(Schema.isMinLength(1), Schema.isMaxLength(mostSnapshots)),
  /** Digest of the image that the guest runs; `null` for none. */
  image: Schema.NullOr(Sha256),
  files: Schema.Array(RecordFile)
})
export type TransferRecord = typeof TransferRecord.Type

/** The kind of a record. */
export interface RecordKind {
  /** Their `format`. */
  readonly format: string
  /** The version that this build writes and reads. */
  readonly version: number
}

/** The bytes of a record. */
export const encodeRecord = (
  { format, version }: RecordKind,
  record: Pick<TransferRecord, "snapshots" | "image" | "files">
): Uint8Array => new TextEncoder().encode(`${JSON.stringify({ format, version, ...record })}\n`)
