/**
 * From a registry to a snapshot of the store.
 *
 * ```text
 * <home>/pulls/<artifact>/       what has come of an artifact; a pull that was cut is taken up from it
 *   record.json, image.erofs
 *   <digest>/                    a snapshot's directory, as it is to stand
 * <home>/pulls/<artifact>.lock   held by who pulls it
 * ```
 *
 * @module
 */
import { dirname, join } from "node:path"
import { DurableFiles, makeDirectories, Snapshots, type StoredSnapshot, type TagOptions } from "@stillpoint/core"
import { Artifacts, type TransferOptions } from "@stillpoint/images"
import { Duration, Effect, Schedule, Schema } from "effect"
import { checkedOptions, isFree, Path, SnapshotName, Tagging, Watching } from "../sandbox/checkedOptions.ts"
import { placed, prepareFile } from "../transfer/pieces.ts"
import { transferFailure } from "../transfer/readTransfer.ts"
import { type Fetch, takeLineage } from "../transfer/takeLineage.ts"
import type { RecordFile } from "../transfer/transferRecord.ts"
import { artifactRecord, recordFile } from "./artifactManifest.ts"
import { ArtifactUnknown, PullBusy } from "./PullErrors.ts"
import { ArtifactReading } from "./readArtifact.ts"

/** Options of a pull. */
export interface PullOptions extends TagOptions, TransferOptions {}

const Asked = Schema.Struct({
  reference: Path,
  name: Schema.optional(SnapshotName),
  options: Schema.Struct({ ...Watching.fields, ...Tagging.fields })
})

/** The result of a pull. */
export interface PulledSnapshot {
  readonly kept: StoredSnapshot
  /** Digest of the artifact. */
  readonly artifact: string
  /** Bytes that were fetched. */
  readonly fetchedBytes: number
}

/** Maximum wait for another process that pulls the same artifact. */
const longestWait = Duration.hours(1)
const betweenTries = Duration.millis(100)

/** The folder for the pieces of artifacts. */
export const pullsOf = (home: string): string => join(home, "pulls")

/** Holds the right to pull one artifact. */
const holding = Effect.fnUntraced(function* (reference: string, lock: string) {
  const files = yield* DurableFiles
  const held = yield* files.hold(lock, { create: true }).pipe(
    Effect.repeat({
      schedule: Schedule.spaced(betweenTries),
      until: (outcome) => outcome === "held",
      times: Duration.toMillis(longestWait) / Duration.toMillis(betweenTries)
    })
  )
  if (held !== "held") return yield* new PullBusy({ reference, waitedMillis: Duration.toMillis(longestWait) })
})

/**
 * Takes a snapshot from a registry into the store, whole or not at all, under a name if one is given, with its ancestors. Pieces that
 * are here already are not fetched again; if two processes pull the same snapshot, one fetches it. Every piece is verified before it is
 * written.
 */
export const pullSnapshot = Effect.fn("pullSnapshot")(
  function* (reference: string, name?: string, options: PullOptions = {}) {
    yield* checkedOptions("pullSnapshot", Asked, { reference, name, options })
    const { onProgress, ...tagging } = options
    const snapshots = yield* Snapshots
    const artifacts = yield* Artifacts
    const files = yield* DurableFiles
    const attempt = <A>(work: (signal: AbortSignal) => Promise<A>) =>
      Effect.tryPromise({ try: work, catch: transferFailure("pull", reference) })
    // Checked before any transfer, and again under the lock when the name is set.
    if (name !== undefined && tagging.replace !== true && tagging.expecting === undefined) yield* isFree(name)
    const reading = new ArtifactReading(reference)
    const { bytes, digest: artifact } = yield* artifacts
      .manifest(reference)
      .pipe(Effect.catchReason("ImageError", "ImageUnknown", () => new ArtifactUnknown({ reference })))
    const config = yield* attempt(async () => reading.config(bytes))
    const key = artifact.replace("sha256:", "")
    const folder = join(pullsOf(snapshots.home), key)
    yield* makeDirectories(files, dirname(folder))
    yield* holding(reference, `${folder}.lock`)
    yield* files.makeDirectory(folder)

    let fetchedBytes = 0
    const fetch: Fetch = Effect.fnUntraced(function* (wanted, where) {
      const missing = yield* attempt(async (signal) => {
        const all: Array<RecordFile> = []
        for (const file of wanted) all.push(await prepareFile(file, where(file.path), signal))
        return all
      })
      const pieces = placed(missing, where)
      if (pieces.length > 0) yield* artifacts.fetch(reference, pieces, onProgress === undefined ? {} : { onProgress })
      fetchedBytes += pieces.reduce((sum, { size }) => sum + size, 0)
    })
    const recordAt = join(folder, recordFile)
    const piece = { offset: 0, digest: config.digest, size: config.size }
    yield* fetch([{ path: recordFile, sizeBytes: config.size, pieces: [piece] }], () => recordAt)
    const recordBytes = yield* files
      .read(recordAt, config.size)
      .pipe(Effect.mapError(transferFailure("pull", reference)))
    const record = yield* attempt(async () => reading.record(recordBytes, artifactRecord))
    const kept = yield* takeLineage(
      { reading, record, folder, fetch, failed: transferFailure("pull", reference) },
      name,
      tagging
    )
    yield* Effect.ignore(files.removeTree(folder))
    yield* Effect.ignore(files.removeTree(`${folder}.lock`))
    return { kept, artifact, fetchedBytes } satisfies PulledSnapshot
  },
  Effect.scoped,
  Effect.provide(DurableFiles.layer)
)
