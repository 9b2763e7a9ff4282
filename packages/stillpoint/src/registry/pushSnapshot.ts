/**
 * From a snapshot of the store to a registry.
 *
 * @module
 */
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { codeOf, FileFault, sha256 } from "@stillpoint/core"
import { Artifacts, type TransferOptions } from "@stillpoint/images"
import { Effect, Schema } from "effect"
import { checkedOptions, Path, Watching } from "../sandbox/checkedOptions.ts"
import { orUnfit, placed } from "../transfer/pieces.ts"
import { sentLineage } from "../transfer/sentLineage.ts"
import { encodeRecord } from "../transfer/transferRecord.ts"
import {
  ArtifactManifest,
  artifactRecord,
  artifactType,
  manifestType,
  pieceType,
  recordFile,
  recordType
} from "./artifactManifest.ts"

/** The result of a push. */
export interface PushedSnapshot {
  /** Digest of the snapshot. */
  readonly snapshot: string
  /** Its reference in the registry. */
  readonly reference: string
  /** Digest of the artifact; it can be pulled by that too. */
  readonly artifact: string
  /** Number of snapshots in it: the snapshot and its ancestors. */
  readonly snapshots: number
  /** Bytes of all its pieces, and of those that were sent. */
  readonly sizeBytes: number
  readonly sentBytes: number
}

const Asked = Schema.Struct({ reference: Path, options: Watching })

/**
 * Pushes a snapshot with its ancestors to a registry: `docker://HOST/NAME[:TAG]`. Only pieces that the registry lacks are sent, so an
 * interrupted push continues where it stopped. The tag moves to the snapshot once everything is there. It is sent as it is
 * stored: unless it is encrypted, anyone who can pull it can read its memory.
 */
export const pushSnapshot = Effect.fn("pushSnapshot")(function* (
  snapshot: string,
  reference: string,
  options: TransferOptions = {}
) {
  yield* checkedOptions("pushSnapshot", Asked, { reference, options })
  const artifacts = yield* Artifacts
  const fault = (cause: unknown) => new FileFault({ operation: "push", path: reference, code: codeOf(cause) })
  const lineage = yield* sentLineage(snapshot, orUnfit(fault))
  const folder = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const path = await mkdtemp(join(tmpdir(), "stillpoint-push-"))
        await chmod(path, 0o700)
        return path
      },
      catch: fault
    }),
    (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
  )
  const recordPath = join(folder, recordFile)
  const recordBytes = encodeRecord(artifactRecord, lineage.record)
  yield* Effect.tryPromise({ try: () => writeFile(recordPath, recordBytes, { mode: 0o600 }), catch: fault })
  const record = {
    digest: `sha256:${sha256(recordBytes)}`,
    size: recordBytes.byteLength,
    places: [{ file: recordPath, offset: 0 }]
  }
  const pieces = placed(lineage.record.files, lineage.where)
  const manifest = yield* Effect.orDie(
    Schema.encodeEffect(ArtifactManifest)({
      schemaVersion: 2,
      mediaType: manifestType,
      artifactType,
      config: { mediaType: recordType, digest: record.digest, size: record.size },
      layers: pieces.map(({ digest, size }) => ({ mediaType: pieceType, digest, size }))
    })
  )
  const bytes = new TextEncoder().encode(JSON.stringify(manifest))
  const sent = [...pieces, record]
  const pushed = yield* artifacts.push(reference, { pieces: sent, manifest: bytes, mediaType: manifestType }, options)
  return {
    snapshot: lineage.digest,
    reference,
    artifact: pushed.digest,
    snapshots: lineage.record.snapshots.length,
    sizeBytes: sent.reduce((sum, { size }) => sum + size, 0),
    sentBytes: pushed.sentBytes
  } satisfies PushedSnapshot
}, Effect.scoped)
