/**
 * The begin of every pull: whose turn it is, and what comes.
 *
 * ```text
 * <home>/pulls/<artifact>/       what has come of an artifact; a pull that was cut is taken up from it
 *   record.json, image.erofs
 *   <digest>/                    a snapshot's directory, as it is to stand; while clones run from it, perhaps a link to a parent
 *                                that the store has
 * <home>/pulls/<artifact>.lock   held by who pulls it
 * ```
 *
 * @module
 */
import { dirname, join } from "node:path"
import { DurableFiles, makeDirectories, Snapshots } from "@stillpoint/core"
import { Artifacts, type TransferOptions } from "@stillpoint/images"
import { Duration, Effect } from "effect"
import { holdWithin } from "../transfer/holdWithin.ts"
import { placed, prepareFile } from "../transfer/pieces.ts"
import { transferFailure } from "../transfer/readTransfer.ts"
import type { Coming, Fetch } from "../transfer/takeLineage.ts"
import type { RecordFile } from "../transfer/transferRecord.ts"
import { artifactRecord, recordFile } from "./artifactManifest.ts"
import { ArtifactUnknown, PullBusy } from "./PullErrors.ts"
import { ArtifactReading } from "./readArtifact.ts"

/** For another process that pulls the same artifact. */
const wait = { longestWait: Duration.hours(1), betweenTries: Duration.millis(100) }

/** The folder for the pieces of artifacts. */
export const pullsOf = (home: string): string => join(home, "pulls")

/** Holds the right to pull one artifact. */
const holding = Effect.fnUntraced(function* (reference: string, lock: string) {
  if (yield* holdWithin(lock, wait)) return
  yield* new PullBusy({ reference, waitedMillis: Duration.toMillis(wait.longestWait) })
})

/** What comes of one artifact. */
export interface BegunPull extends Coming {
  /** Digest of the artifact. */
  readonly artifact: string
  /** Bytes that were fetched so far. */
  readonly fetchedBytes: () => number
  /** Removes what was kept of the artifact for a pull that continues this one. */
  readonly cleared: Effect.Effect<void>
}

/** Asks a registry for an artifact, waits for the right to pull it, which ends with the scope, and fetches its record. */
export const beginPull = Effect.fnUntraced(function* (reference: string, { onProgress }: TransferOptions) {
  const { home } = yield* Snapshots
  const artifacts = yield* Artifacts
  const files = yield* DurableFiles
  const failed = transferFailure("pull", reference)
  const attempt = <A>(work: (signal: AbortSignal) => Promise<A>) => Effect.tryPromise({ try: work, catch: failed })
  const reading = new ArtifactReading(reference)
  const { bytes, digest: artifact } = yield* artifacts
    .manifest(reference)
    .pipe(Effect.catchReason("ImageError", "ImageUnknown", () => new ArtifactUnknown({ reference })))
  const config = yield* attempt(async () => reading.config(bytes))
  const folder = join(pullsOf(home), artifact.replace("sha256:", ""))
  yield* makeDirectories(files, dirname(folder))
  yield* holding(reference, `${folder}.lock`)
  yield* files.makeDirectory(folder)
  // Links to snapshots of the store, for clones of an earlier pull.
  for (const name of yield* files.list(folder)) {
    const path = join(folder, name)
    if ((yield* files.inspect(path))?.kind === "link") yield* files.removeTree(path)
  }

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
  const recordBytes = yield* files.read(recordAt, config.size).pipe(Effect.mapError(failed))
  const record = yield* attempt(async () => reading.record(recordBytes, artifactRecord))
  const cleared = Effect.andThen(
    Effect.ignore(files.removeTree(folder)),
    Effect.ignore(files.removeTree(`${folder}.lock`))
  )
  return {
    reading,
    record,
    folder,
    fetch,
    failed,
    artifact,
    fetchedBytes: () => fetchedBytes,
    cleared
  } satisfies BegunPull
})
