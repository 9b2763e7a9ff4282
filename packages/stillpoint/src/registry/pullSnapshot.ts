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
import { link, open, readFile, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { DurableFiles, makeDirectories, Snapshots, type StoredSnapshot, type TagOptions } from "@stillpoint/core"
import { Artifacts, type TransferOptions } from "@stillpoint/images"
import { Duration, Effect, Schedule, Schema } from "effect"
import { checkedOptions, isFree, Path, SnapshotName, Tagging, Watching } from "../sandbox/checkedOptions.ts"
import { importedImage, imagesOf } from "../sandbox/imageSpec.ts"
import { transferFailure } from "../transfer/readTransfer.ts"
import { ArtifactUnknown, PullBusy } from "./PullErrors.ts"
import { type ArtifactRecord, imageFile, manifestOf, recordFile, type RecordFile } from "./artifactRecord.ts"
import { placed, prepareFile } from "./pieces.ts"
import { ArtifactReading } from "./readArtifact.ts"

/** How a snapshot is pulled. */
export interface PullOptions extends TagOptions, TransferOptions {}

const Asked = Schema.Struct({
  reference: Path,
  name: Schema.optional(SnapshotName),
  options: Schema.Struct({ ...Watching.fields, ...Tagging.fields })
})

/** What a pull did. */
export interface PulledSnapshot {
  readonly kept: StoredSnapshot
  /** Digest of the artifact. */
  readonly artifact: string
  /** Bytes that travelled. */
  readonly fetchedBytes: number
}

/** How long another process that pulls the same is waited for. */
const longestWait = Duration.hours(1)
const betweenTries = Duration.millis(100)

/** The folder of what has come of artifacts. */
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

const flushed = async (path: string): Promise<void> => {
  const handle = await open(path, "r")
  await handle.sync().finally(() => handle.close())
}

/**
 * Takes the snapshot that a reference means from a registry into the store, under a name if one is given, with everything that it was
 * taken against: whole, or not at all. What is here is not fetched again; of two who pull the same, one fetches it. Every piece is
 * verified before it is written.
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
    // Told before anything travels, and once more, under the lock, when it is given.
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
    /** Has files whole, each where it belongs in the folder. */
    const fetch = Effect.fnUntraced(function* (wanted: ReadonlyArray<RecordFile>, where: (path: string) => string) {
      const missing = yield* attempt(async (signal) => {
        const all: Array<RecordFile> = []
        for (const file of wanted) all.push(await prepareFile(file, where(file.path), signal))
        return all
      })
      const pieces = placed(missing, where)
      if (pieces.length > 0) yield* artifacts.fetch(reference, pieces, onProgress === undefined ? {} : { onProgress })
      fetchedBytes += pieces.reduce((sum, { size }) => sum + size, 0)
      yield* attempt(async () => {
        for (const { path } of wanted) await flushed(where(path))
      })
    })
    const inFolder = (path: string): string => join(folder, path)

    const record: ArtifactRecord = yield* Effect.gen(function* () {
      const piece = { offset: 0, digest: config.digest, size: config.size }
      yield* fetch([{ path: recordFile, sizeBytes: config.size, pieces: [piece] }], inFolder)
      return yield* attempt(async () => reading.record(await readFile(inFolder(recordFile))))
    })

    /** Those that are not here yet, the one without a parent first. */
    const missing: Array<string> = []
    for (const digest of record.snapshots.toReversed()) {
      const isHere = yield* Effect.result(snapshots.get(`sha256:${digest}`, { allowUnvalidated: true }))
      if (isHere._tag === "Failure") missing.push(digest)
    }
    for (const digest of missing) yield* files.makeDirectory(inFolder(digest))
    const manifests = yield* attempt(async () => {
      const all = missing.map((digest) => reading.file(record, manifestOf(digest)))
      all.forEach(reading.checkManifestSize)
      return all
    })
    yield* fetch(manifests, inFolder)
    const plans = yield* Effect.forEach(missing, (digest) =>
      attempt(async () => reading.plan(record, digest, await readFile(inFolder(manifestOf(digest)))))
    )
    const hasImage = record.image !== null && plans.length > 0
    const image = yield* attempt(async () => (hasImage ? [reading.file(record, imageFile)] : []))
    const targets = new Map<string, string>()
    for (const plan of plans) {
      const contents = inFolder(join(plan.manifest.digest, plan.manifest.contents))
      yield* files.makeDirectory(contents)
      for (const [path, name] of plan.names) targets.set(path, join(contents, name))
    }
    yield* fetch([...plans.flatMap(({ files }) => files), ...image], (path) => targets.get(path) ?? inFolder(path))

    if (image.length > 0) yield* makeDirectories(files, imagesOf(snapshots.home))
    yield* attempt(async () => {
      for (const { manifest } of plans) {
        if (image.length === 0) continue
        const target = importedImage(snapshots.home, manifest)
        await rm(target, { force: true })
        await link(inFolder(imageFile), target)
      }
    })
    /** What is taken into the store, and out again if the rest does not follow. */
    const taken: Array<string> = []
    const keepOne = (directory: string, digest: string) =>
      Effect.scoped(
        Effect.gen(function* () {
          const draft = yield* snapshots.draft
          const { manifest } = plans.find((plan) => plan.manifest.digest === digest) ?? {}
          for (const path of [join(directory, manifest?.contents ?? ""), directory]) yield* files.flushDirectory(path)
          yield* attempt(() => rename(directory, draft))
          yield* files.flushDirectory(dirname(draft))
          const kept = yield* snapshots.keep(draft)
          taken.push(digest)
          return kept
        })
      )
    const [own = ""] = record.snapshots
    const kept = yield* Effect.gen(function* () {
      for (const digest of missing) yield* keepOne(inFolder(digest), digest)
      if (name === undefined) return yield* snapshots.inspect(`sha256:${own}`)
      return yield* snapshots.tag(`sha256:${own}`, name, tagging)
    }).pipe(
      Effect.onError(() =>
        Effect.gen(function* () {
          for (const digest of taken.toReversed()) yield* Effect.ignore(snapshots.remove(`sha256:${digest}`))
          for (const { manifest } of plans) {
            yield* Effect.ignore(files.removeTree(importedImage(snapshots.home, manifest)))
          }
        })
      )
    )
    yield* Effect.ignore(files.removeTree(folder))
    yield* Effect.ignore(files.removeTree(`${folder}.lock`))
    return { kept, artifact, fetchedBytes } satisfies PulledSnapshot
  },
  Effect.scoped,
  Effect.provide(DurableFiles.layer)
)
