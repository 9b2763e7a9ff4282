/**
 * A snapshot as one file: a tar archive, compressed by zstd, whose entries stand in this order.
 *
 * ```text
 * stillpoint.json    the record: which snapshots, which files, and where in them which pieces stand (`transferRecord.ts`)
 * pieces/<sha256>    the pieces of the manifests, each once
 * pieces/<sha256>    the pieces of all other files, each once
 * ```
 *
 * The record says everything that follows, so that an archive is written and read as it streams, one piece in memory, and nothing is
 * taken that is not announced.
 *
 * @module
 */
import type { ArtifactPiece } from "@stillpoint/images"
import { placed } from "../transfer/pieces.ts"
import { manifestOf, type RecordKind, type TransferRecord } from "../transfer/transferRecord.ts"

/** Records of archives. */
export const archiveRecord: RecordKind = { format: "stillpoint-archive", version: 2 }

export const recordEntry = "stillpoint.json"

/** The entry of a piece. */
export const pieceEntry = ({ digest }: Pick<ArtifactPiece, "digest">): string =>
  `pieces/${digest.replace("sha256:", "")}`

/** The two parts of an archive: the pieces of the manifests, and all others. */
export const piecesOf = (
  { files, snapshots }: Pick<TransferRecord, "files" | "snapshots">,
  where: (path: string) => string
): { readonly manifests: ReadonlyArray<ArtifactPiece>; readonly others: ReadonlyArray<ArtifactPiece> } => {
  const manifests = new Set(snapshots.map(manifestOf))
  const part = (isOfManifests: boolean) =>
    placed(
      files.filter(({ path }) => manifests.has(path) === isOfManifests),
      where
    )
  return { manifests: part(true), others: part(false) }
}
