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
import { isSettable } from "../sandbox/checkedOptions.ts"
import { claimImage, isClaimed } from "../sandbox/imageClaims.ts"
import { importedImage, imagesOf } from "../sandbox/imageSpec.ts"
import type { Plan, RecordReading } from "./RecordReading.ts"
import type { TransferInvalid, TransferVersionUnknown } from "./TransferErrors.ts"
import { imageFile, manifestOf, type RecordFile, signaturesOf, type TransferRecord } from "./transferRecord.ts"
import { turnToKeep } from "./turnToKeep.ts"

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

/** Arriving snapshots whose manifests are here. */
export interface PlannedLineage {
  /** Of snapshots that the store lacks, parents first. */
  readonly plans: ReadonlyArray<Plan>
  /** Those of them that are not there at all, and not only unsigned. */
  readonly added: ReadonlyArray<Plan>
  /** The image, if it is needed. */
  readonly image: ReadonlyArray<RecordFile>
  /** Where a file of the record belongs. */
  readonly where: (path: string) => string
}

/** Fetches and flushes files of the record. */
export const fetchDurably = Effect.fnUntraced(function* (
  { fetch }: Pick<Coming, "fetch">,
  wanted: ReadonlyArray<RecordFile>,
  where: (path: string) => string
) {
  const files = yield* DurableFiles
  yield* fetch(wanted, where)
  yield* Effect.forEach(wanted, ({ path }) => files.flush(where(path)), { discard: true })
})

/** Finds out what the store lacks of the arriving snapshots, fetches their manifests, and makes the directories of their contents. */
export const planLineage = Effect.fnUntraced(function* (coming: Coming) {
  const { failed, folder, reading, record } = coming
  const snapshots = yield* Snapshots
  const files = yield* DurableFiles
  const attempt = <A>(work: () => Promise<A>) => Effect.tryPromise({ try: work, catch: failed })
  const inFolder = (path: string): string => join(folder, path)
  const isSigned = (digest: string): boolean => record.files.some(({ path }) => path === signaturesOf(digest))
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
  yield* fetchDurably(coming, manifests, inFolder)
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
  return { plans, added, image, where: (path) => targets.get(path) ?? inFolder(path) } satisfies PlannedLineage
})

/** Puts the image where the guests of the arriving snapshots read it, and claims it there until the scope closes; the claim of each path. */
export const linkImage = Effect.fnUntraced(function* (home: string, { added, image, where }: PlannedLineage) {
  const claims = new Map<string, string>()
  if (image.length > 0) {
    yield* makeDirectories(yield* DurableFiles, imagesOf(home))
    for (const { manifest } of added) {
      const path = importedImage(home, manifest)
      claims.set(path, yield* claimImage(path))
      yield* linkWhole(where(imageFile), path)
    }
  }
  return claims
})

/**
 * Keeps arriving snapshots all of whose files are here, and gives the last one a name if requested. Before that one is kept, a failure
 * leaves the store unchanged. With `stays`, the files stay where they are as well, for the machines that run from them.
 *
 * One process at a time does this, so that it takes away only what it added. An image that another one claims stays.
 */
export const keepLineage = Effect.fnUntraced(function* (
  { folder, record }: Pick<Coming, "folder" | "record">,
  { added, plans, where }: PlannedLineage,
  {
    claims,
    name,
    stays,
    tagging
  }: {
    /** This process's claim on each path of the image. */
    readonly claims: ReadonlyMap<string, string>
    readonly name: string | undefined
    readonly stays: boolean
    readonly tagging: TagOptions
  }
) {
  const snapshots = yield* Snapshots
  const files = yield* DurableFiles
  const inspected = (digest: string) => Effect.option(snapshots.inspect(`sha256:${digest}`))
  /** Digests that the store lacks still; another process may have kept some of them meanwhile. */
  const isAdded = new Set<string>()
  /** Snapshots kept so far, which are removed again if a later step fails. */
  const taken: Array<string> = []
  const linked = Effect.fnUntraced(function* ({ manifest, names }: Plan, draft: string) {
    const contents = join(draft, manifest.contents)
    yield* files.makeDirectory(draft)
    yield* files.makeDirectory(contents)
    for (const [path, name] of names) yield* linkWhole(where(path), join(contents, name))
    yield* linkWhole(where(manifestOf(manifest.digest)), join(draft, "manifest.json"))
  })
  const keepOne = (plan: Plan, given?: string) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { contents, digest } = plan.manifest
        const draft = yield* snapshots.draft
        const directory = join(folder, digest)
        for (const path of [join(directory, contents), directory]) yield* files.flushDirectory(path)
        yield* stays ? linked(plan, draft) : files.rename(directory, draft)
        yield* files.flushDirectory(dirname(draft))
        yield* given === undefined ? snapshots.keep(draft) : snapshots.keep(draft, given, tagging)
        if (isAdded.has(digest)) taken.push(digest)
      })
    )
  const undone = Effect.gen(function* () {
    for (const digest of taken.toReversed()) {
      const found = yield* inspected(digest)
      if (found._tag === "Some" && found.value.names.length > 0) continue
      yield* Effect.ignore(snapshots.remove(`sha256:${digest}`))
    }
    // Machines may run from it; a prune takes it later.
    if (stays) return
    for (const { manifest } of added) {
      const path = importedImage(snapshots.home, manifest)
      if ((yield* inspected(manifest.digest))._tag === "Some" || (yield* isClaimed(path, claims.get(path)))) continue
      yield* files.removeTree(path)
    }
  })
  const [own = ""] = record.snapshots
  let isKept = false
  return yield* Effect.gen(function* () {
    yield* turnToKeep(snapshots.home)
    // Nothing is kept for a name that cannot be set: what is taken away again may be the parent of another process's snapshot.
    if (name !== undefined) yield* isSettable(name, own, tagging)
    for (const { manifest } of added) {
      if ((yield* inspected(manifest.digest))._tag === "None") isAdded.add(manifest.digest)
    }
    for (const plan of plans) yield* keepOne(plan, plan.manifest.digest === own ? name : undefined)
    isKept = plans.some(({ manifest }) => manifest.digest === own)
    if (name === undefined) return yield* snapshots.inspect(`sha256:${own}`)
    return yield* snapshots.tag(`sha256:${own}`, name, tagging)
  }).pipe(
    Effect.onError(() => (isKept ? Effect.void : Effect.ignore(undone))),
    Effect.scoped
  )
})

/** Takes the arriving snapshots into the store, and gives the last one a name if requested, as {@link keepLineage}. */
export const takeLineage = Effect.fnUntraced(function* (coming: Coming, name: string | undefined, tagging: TagOptions) {
  const planned = yield* planLineage(coming)
  yield* fetchDurably(coming, [...planned.plans.flatMap((plan) => plan.files), ...planned.image], planned.where)
  const claims = yield* linkImage((yield* Snapshots).home, planned)
  return yield* keepLineage(coming, planned, { claims, name, stays: false, tagging })
}, Effect.scoped)
