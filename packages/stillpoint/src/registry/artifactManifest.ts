/**
 * A snapshot as an artifact of an OCI registry.
 *
 * ```text
 * manifest   application/vnd.oci.image.manifest.v1+json, artifactType application/vnd.stillpoint.snapshot.v1
 *   config   the record (`transferRecord.ts`)
 *   layers   the pieces, each once
 * ```
 *
 * @module
 */
import { Schema } from "effect"
import type { RecordKind } from "../transfer/transferRecord.ts"

export const manifestType = "application/vnd.oci.image.manifest.v1+json"
export const artifactType = "application/vnd.stillpoint.snapshot.v1"
export const recordType = "application/vnd.stillpoint.snapshot.record.v1+json"
export const pieceType = "application/vnd.stillpoint.snapshot.piece.v1"

export const recordFile = "record.json"

/** Records of artifacts. */
export const artifactRecord: RecordKind = { format: "stillpoint-artifact", version: 1 }

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
