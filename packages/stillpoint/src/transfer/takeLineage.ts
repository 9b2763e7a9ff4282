/**
 * Into the store: a snapshot that comes from elsewhere, with everything that it was taken against, whole or not at all.
 *
 * @module
 */
import { dirname, join } from "node:path"
import {
  DurableFiles,
  type FileFault,
  linkWhole,
  makeDirectories,
  mostManifestBytes,
  Snapshots,
  type TagOptions
} from "@stillpoint/core"
import type { ImageError } from "@stillpoint/images"
import { Effect } from "effect"
import { importedImage, imagesOf } from "../sandbox/imageSpec.ts"
import type { RecordReading } from "./RecordReading.ts"
import type { TransferInvalid, TransferVersionUnknown } from "./TransferErrors.ts"
import { imageFile, manifestOf, type RecordFile, signaturesOf, type TransferRecord } from "./transferRecord.ts"

type Failure = TransferInvalid | TransferVersionUnknown | FileFault

/** Has files of the record whole, each where it belongs. */
export type Fetch = (
  wanted: ReadonlyArray<RecordFile>,
  where: (path: string) => string
) => Effect.Effect<void, Failure | ImageError>

/** The arriving snapshots and their source. */
export interface Coming {
  readonly reading: RecordReading
  readonly record: TransferRecord
  /** An existing folder on the store's file system, for arriving files. */
  readonly folder: string
  /** Asked twice: for manifests, and for all else that is not here. */
  readonly fetch: Fetch
  readonly failed: (cause: unknown) => Failure
}

/**
 * Takes the arriving snapshots into the store, and gives the last one a name if requested; a failure leaves the store
 * unchanged.
 */
export const takeLineage = Effect.fnUntraced(function* (
  { failed, fetch, folder, reading, record }: Coming,
  name: string | undefined,
  tagging: TagOptions
) {
  const snapshots = yield* Snapshots
  const files = yield* DurableFiles
  const attempt = <A>(work: () => Promise<A>) => Effect.tryPromise({ try: work, catch: failed })
  const inFolder = (path: string): string => join(folder, path)
  const isSigned = (digest: string): boolean => record.files.some(({ path }) => path === signaturesOf(digest))
  const fetched = (wanted: ReadonlyArray<RecordFile>, where: (path: string) => string) =>
    Effect.andThen(
      fetch(wanted, where),
      Effect.forEach(wanted, ({ path }) => files.flush(where(path)), { discard: true })
    )

  /** Snapshots that the store lacks, parents first. An unsigned snapshot is taken again with its signatures. */
  const missing: Array<string> = []
  const standing = new Set<string>()
  for (const digest of record.snapshots.toReversed()) {
    const reference = `sha256:${digest}`
    if ((yield* Effect.result(snapshots.inspect(reference)))._tag === "Success") standing.add(digest)
    const isHere = yield* Effect.result(snapshots.get(reference, { allowUnvalidated: true, allowLocked: true }))
    if (isHere._tag === "Failure" || (isSigned(digest) && (yield* snapshots.signers(reference)).length === 0)) {
      missing.push(digest)
    }
  }
  for (const digest of missing) yield* files.makeDirectory(inFolder(digest))
  const manifests = yield* attempt(async () => {
    const all = missing.map((digest) => reading.file(record, manifestOf(digest)))
    all.forEach(reading.checkManifestSize)
    return all
  })
  yield* fetched(manifests, inFolder)
  const plans = yield* Effect.forEach(missing, (digest) => {
    const read = files.read(inFolder(manifestOf(digest)), mostManifestBytes).pipe(Effect.mapError(failed))
    return Effect.flatMap(read, (bytes) => attempt(async () => reading.plan(record, digest, bytes)))
  })
  // A snapshot in the store stays unchanged, except for its signatures.
  const added = plans.filter(({ manifest }) => !standing.has(manifest.digest))
  const hasImage = record.image !== null && added.length > 0
  const image = yield* attempt(async () => (hasImage ? [reading.file(record, imageFile)] : []))
  const targets = new Map<string, string>()
  for (const plan of plans) {
    const contents = inFolder(join(plan.manifest.digest, plan.manifest.contents))
    yield* files.makeDirectory(contents)
    for (const [path, name] of plan.names) targets.set(path, join(contents, name))
  }
  yield* fetched([...plans.flatMap((plan) => plan.files), ...image], (path) => targets.get(path) ?? inFolder(path))

  if (image.length > 0) {
    yield* makeDirectories(files, imagesOf(snapshots.home))
    for (const { manifest } of added) {
      yield* linkWhole(inFolder(imageFile), importedImage(snapshots.home, manifest))
    }
  }
  /** Snapshots kept so far, which are removed again if a later step fails. */
  const taken: Array<string> = []
  const keepOne = (digest: string, contents: string, given?: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const draft = yield* snapshots.draft
        const directory = inFolder(digest)
        for (const path of [join(directory, contents), directory]) yield* files.flushDirectory(path)
        yield* files.rename(directory, draft)
        yield* files.flushDirectory(dirname(draft))
        yield* given === undefined ? snapshots.keep(draft) : snapshots.keep(draft, given, tagging)
        if (!standing.has(digest)) taken.push(digest)
      })
    )
  const [own = ""] = record.snapshots
  return yield* Effect.gen(function* () {
    for (const { manifest } of plans) {
      yield* keepOne(manifest.digest, manifest.contents, manifest.digest === own ? name : undefined)
    }
    if (name === undefined) return yield* snapshots.inspect(`sha256:${own}`)
    return yield* snapshots.tag(`sha256:${own}`, name, tagging)
  }).pipe(
    Effect.onError(() =>
      Effect.gen(function* () {
        for (const digest of taken.toReversed()) yield* Effect.ignore(snapshots.remove(`sha256:${digest}`))
        for (const { manifest } of added) {
          yield* Effect.ignore(files.removeTree(importedImage(snapshots.home, manifest)))
        }
      })
    )
  )
})
