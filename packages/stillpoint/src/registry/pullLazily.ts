/**
 * Clones of a snapshot that is still in a registry.
 *
 * The small files come first and are checked as always. Objects come a block at a time when a clone reads them first, the recorded
 * working set before anything else; then the rest, and with it the snapshot is kept in the store. Until then it stands among the pulls,
 * where nothing takes it for a whole one. The files stay where they are while the scope is open, since clones are restored from there.
 *
 * @module
 */
import { symlink } from "node:fs/promises"
import { join } from "node:path"
import {
  DurableFiles,
  type Snapshot,
  type SnapshotPart,
  Snapshots,
  SnapshotStore,
  type StoredSnapshot,
  workingSetParts
} from "@stillpoint/core"
import { Artifacts, type ArrivingFile, type ArrivingPart } from "@stillpoint/images"
import { Deferred, Duration, Effect, Schedule, Schema } from "effect"
import { checkedOptions, isFree } from "../sandbox/checkedOptions.ts"
import { fetchDurably, keepLineage, linkImage, type PlannedLineage, planLineage } from "../transfer/takeLineage.ts"
import { fileOf, type RecordFile } from "../transfer/transferRecord.ts"
import { type BegunPull, beginPull } from "./beginPull.ts"
import { type PulledSnapshot, type PullOptions, PullAsked } from "./pullSnapshot.ts"

/** Options of a lazy pull. */
export interface LazyPullOptions extends PullOptions {
  /** Whether all of it is fetched in the background; `true` if absent. If not, that begins when `whole` is asked for. */
  readonly rest?: boolean
}

const Asked = Schema.Struct({
  ...PullAsked.fields,
  options: Schema.Struct({ ...PullAsked.fields.options.fields, rest: Schema.optional(Schema.Boolean) })
})

/** A snapshot that can be cloned while it arrives. */
export interface ArrivingSnapshot {
  /** The snapshot, for `Gate.restore`, pools and the like, while the scope is open. */
  readonly snapshot: Snapshot
  /** Digest of the artifact. */
  readonly artifact: string
  /** Bytes that were fetched so far. */
  readonly fetchedBytes: Effect.Effect<number>
  /** Waits until all of it is here and kept in the store, under its name if one was given. */
  readonly whole: Effect.Effect<PulledSnapshot, WholeFailure>
}

type WholeFailure =
  | Effect.Error<ReturnType<typeof keepLineage>>
  | Effect.Error<ReturnType<typeof beginPull>>
  | Effect.Error<ReturnType<typeof isFree>>

const objectForm = /^[0-9a-f]{64}$/
const blockBytes = 16 << 10
const digestBytes = 32
/** Longest object. A file that is called like one and is longer, or not made of blocks, comes before any clone. */
const mostObjectBytes = 1024 * (blockBytes + digestBytes)

/** Parts of the working set that are so near to each other are fetched together: a request costs more than these bytes. */
const nearBytes = 32 << 10

const betweenTellings = Duration.millis(100)

/** The name of an object, if a file of the record is one. */
const objectOf = (digests: ReadonlySet<string>, { path, sizeBytes }: RecordFile): string | null => {
  const name = path.split("/").at(-1) ?? ""
  const isOne = objectForm.test(name) && [...digests].some((digest) => path === fileOf(digest, name)) && sizeBytes > 0
  return isOne && sizeBytes <= mostObjectBytes && sizeBytes % (blockBytes + digestBytes) === 0 ? name : null
}

/** Parts of arriving files, those near to each other as one. */
const joined = (parts: ReadonlyArray<SnapshotPart>, fileAt: ReadonlyMap<string, number>): Array<ArrivingPart> => {
  const all: Array<ArrivingPart> = []
  for (const { from, path, to } of parts) {
    const file = fileAt.get(path)
    if (file === undefined) continue
    const last = all.at(-1)
    if (last !== undefined && last.file === file && from >= last.to && from - last.to <= nearBytes) {
      all[all.length - 1] = { ...last, to }
    } else all.push({ file, from, to })
  }
  return all
}

/** Has the objects arrive, everything else fetched before. */
const arriving = Effect.fnUntraced(function* (reference: string, begun: BegunPull, planned: PlannedLineage) {
  const { plans, where } = planned
  const digests = new Set(plans.map(({ manifest }) => manifest.digest))
  const objects: Array<ArrivingFile> = []
  const others: Array<RecordFile> = [...planned.image]
  for (const file of plans.flatMap((plan) => plan.files)) {
    const index = objectOf(digests, file)
    if (index === null) others.push(file)
    else {
      const pieces = file.pieces.map(({ digest, ...piece }) => ({ ...piece, digest: `sha256:${digest}` }))
      objects.push({ path: where(file.path), size: file.sizeBytes, index, pieces })
    }
  }
  yield* fetchDurably(begun, others, where)
  yield* linkImage((yield* Snapshots).home, planned)
  const arrival = yield* (yield* Artifacts).arrive(reference, objects)
  return { arrival, fileAt: new Map(objects.map(({ path }, at) => [path, at])) }
})

/**
 * Opens a snapshot of a registry so that it can be cloned at once: what a clone reads first is fetched when it reads it, and each chunk
 * is verified before the guest sees it. The working set that a validation recorded is fetched first, then everything else, and then the
 * snapshot is kept in the store. A clone whose chunk cannot be had stops with the event `EngineFault`, before it executes on anything
 * else; others continue. Clones must not outlive the scope.
 *
 * @example
 * ```ts
 * import { Artifacts } from "@stillpoint/images"
 * import { DurableFiles, Snapshots, SnapshotStore } from "@stillpoint/core"
 * import { Effect, Layer } from "effect"
 * import { pullLazily } from "stillpoint"
 *
 * const layer = Layer.mergeAll(
 *   Snapshots.layerHost({ home: "/tmp/stillpoint-lazily" }),
 *   SnapshotStore.layerHost,
 *   Artifacts.layer()
 * )
 * const refused = Effect.flip(Effect.scoped(pullLazily("docker://127.0.0.1:1/team/web:v1")))
 * const error = await Effect.runPromise(Effect.provide(refused, layer))
 * console.log(error._tag) // ImageError
 * ```
 */
export const pullLazily = Effect.fn("pullLazily")(function* (
  reference: string,
  name?: string,
  options: LazyPullOptions = {}
) {
  yield* checkedOptions("pullLazily", Asked, { reference, name, options })
  const { onProgress, rest = true, ...tagging } = options
  const snapshots = yield* Snapshots
  const store = yield* SnapshotStore
  if (name !== undefined && tagging.replace !== true && tagging.expecting === undefined) yield* isFree(name)
  const begun = yield* beginPull(reference, {})
  const { artifact, folder, record } = begun
  const planned = yield* planLineage(begun)
  const [digest = ""] = record.snapshots
  const pulled = (kept: StoredSnapshot, fetchedBytes: number): PulledSnapshot => ({ kept, artifact, fetchedBytes })
  if (!planned.plans.some(({ manifest }) => manifest.digest === digest)) {
    // All of it is in the store.
    yield* begun.cleared
    const kept =
      name === undefined
        ? yield* snapshots.inspect(`sha256:${digest}`)
        : yield* snapshots.tag(`sha256:${digest}`, name, tagging)
    const fetchedBytes = begun.fetchedBytes()
    return {
      snapshot: yield* snapshots.get(`sha256:${digest}`),
      artifact,
      fetchedBytes: Effect.succeed(fetchedBytes),
      whole: Effect.succeed(pulled(kept, fetchedBytes))
    } satisfies ArrivingSnapshot
  }
  let isKept = false
  yield* Effect.addFinalizer(() => Effect.suspend(() => (isKept ? begun.cleared : Effect.void)))
  const files = yield* DurableFiles
  for (const parent of record.snapshots) {
    if (planned.plans.some(({ manifest }) => manifest.digest === parent)) continue
    // A delta finds its parent beside itself.
    yield* Effect.tryPromise({
      try: () => symlink(join(snapshots.home, "snapshots", parent), join(folder, parent)),
      catch: begun.failed
    })
  }
  const { arrival, fileAt } = yield* arriving(reference, begun, planned)
  const snapshot = yield* store.open(join(folder, digest), { digest })
  yield* arrival.ahead(joined(yield* workingSetParts(snapshot), fileAt))
  const wanted = yield* Deferred.make<void>()
  if (rest) yield* Deferred.succeed(wanted, undefined)
  const fetchedBytes = Effect.map(arrival.progress, (progress) => begun.fetchedBytes() + progress.fetchedBytes)

  const told = Effect.map(arrival.progress, ({ doneBytes, totalBytes }) => onProgress?.({ doneBytes, totalBytes }))
  const whole = yield* Deferred.make<PulledSnapshot, WholeFailure>()
  yield* Effect.gen(function* () {
    yield* Deferred.await(wanted)
    yield* arrival.rest
    const telling = Effect.repeat(told, Schedule.spaced(betweenTellings))
    yield* onProgress === undefined
      ? arrival.settled
      : Effect.raceFirst(arrival.settled, Effect.andThen(telling, Effect.never))
    yield* told
    for (const path of fileAt.keys()) yield* files.flush(path)
    const kept = yield* keepLineage(begun, planned, { claims: new Map(), name, stays: true, tagging })
    isKept = true
    return pulled(kept, yield* fetchedBytes)
  }).pipe(
    Effect.onExit((exit) => Deferred.done(whole, exit)),
    Effect.ignoreCause,
    Effect.forkScoped
  )
  return {
    snapshot,
    artifact,
    fetchedBytes,
    whole: Effect.andThen(Deferred.succeed(wanted, undefined), Deferred.await(whole))
  } satisfies ArrivingSnapshot
}, Effect.provide(DurableFiles.layer))
