/**
 * A snapshot as one file: a tar archive whose entries stand in this order.
 *
 * ```text
 * stillpoint.json            which snapshot, and whether an image follows
 * snapshot/manifest.json     as it stands in the snapshot's directory
 * snapshot/files/<name>      each file that the manifest lists, in its order, with the size that it says
 * snapshot/validation.json   the verdict, if there is one
 * image.erofs                the file system that the guest's root reads, if it runs an image
 * ```
 *
 * The first two say everything that follows, so that an archive is written and read as it streams, and nothing is taken that is not
 * announced.
 *
 * @module
 */
import { Sha256 } from "@stillpoint/core"
import { Schema } from "effect"

/** The version that this build writes. */
export const archiveVersion = 1

export const headerName = "stillpoint.json"
export const manifestEntry = "snapshot/manifest.json"
export const validationEntry = "snapshot/validation.json"
export const imageEntry = "image.erofs"

/** Largest header that is read, bytes. */
export const mostHeaderBytes = 64 << 10

/** What every version of a header begins with. */
export const ArchiveVersion = Schema.Struct({
  format: Schema.Literal("stillpoint-archive"),
  version: Schema.Natural
})

/** The record in `stillpoint.json`. */
export const ArchiveHeader = Schema.Struct({
  ...ArchiveVersion.fields,
  digest: Sha256,
  hasValidation: Schema.Boolean,
  /** Digest of the image that comes last; `null` for none. */
  image: Schema.NullOr(Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)))
})
export type ArchiveHeader = typeof ArchiveHeader.Type

/** The entry of a file of a snapshot. */
export const fileEntry = (name: string): string => `snapshot/files/${name}`
