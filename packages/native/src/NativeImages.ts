/**
 * The addon's image operations: the bridge under `Images` of `@stillpoint/images`.
 *
 * @module
 */
import { Effect, type Scope } from "effect"
import type * as Addon from "./binding/Addon.ts"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"

export type {
  ArrivalFile,
  ArrivalPart,
  ArrivalProgress,
  ArtifactPiece,
  CachedImage,
  Failure,
  ImageLimits,
  ImageProgress,
  ImageRegistry,
  ImageRequest,
  ImageStore,
  NativeImage
} from "./binding/Addon.ts"

/** Operations on images. Each runs on a thread of its own; interrupted, it is given up and awaited. */
export interface ImageBridge {
  readonly resolve: (
    store: Addon.ImageStore,
    request: Addon.ImageRequest,
    onProgress: (progress: Addon.ImageProgress) => void
  ) => Effect.Effect<Addon.NativeImage, Addon.Failure>
  readonly list: (store: Addon.ImageStore) => Effect.Effect<ReadonlyArray<Addon.CachedImage>, Addon.Failure>
  readonly prune: (
    store: Addon.ImageStore,
    maxBytes: number
  ) => Effect.Effect<ReadonlyArray<Addon.CachedImage>, Addon.Failure>
  readonly pushArtifact: (
    store: Addon.ImageStore,
    artifact: {
      readonly reference: string
      readonly pieces: Array<Addon.ArtifactPiece>
      readonly manifest: Uint8Array
      readonly mediaType: string
    },
    onProgress: (progress: Addon.ImageProgress) => void
  ) => Effect.Effect<Addon.ArtifactPushed, Addon.Failure>
  readonly artifactManifest: (
    store: Addon.ImageStore,
    reference: string
  ) => Effect.Effect<Addon.ArtifactManifest, Addon.Failure>
  readonly fetchArtifact: (
    store: Addon.ImageStore,
    reference: string,
    pieces: Array<Addon.ArtifactPiece>,
    onProgress: (progress: Addon.ImageProgress) => void
  ) => Effect.Effect<void, Addon.Failure>
  /** Files of an artifact that arrive while the scope is open; machines that read them wait. */
  readonly arrive: (
    store: Addon.ImageStore,
    reference: string,
    files: Array<Addon.ArrivalFile>
  ) => Effect.Effect<ArrivalBridge, Addon.Failure, Scope.Scope>
  /** One of every failure, for tests. */
  readonly everyFailure: ReadonlyArray<Addon.Failure>
}

/** Files of an artifact that arrive. */
export interface ArrivalBridge {
  /** Has these parts fetched in the background, in this order. */
  readonly ahead: (parts: Array<Addon.ArrivalPart>) => Effect.Effect<void>
  /** Has everything else fetched in the background. */
  readonly rest: Effect.Effect<void>
  readonly progress: Effect.Effect<Addon.ArrivalProgress>
  /** Waits until everything that was named is here. */
  readonly settled: Effect.Effect<Addon.ArrivalProgress, Addon.Failure>
}

const outcomeOf = <A extends object>(outcome: Addon.Failure | A): Effect.Effect<A, Addon.Failure> =>
  "failed" in outcome ? Effect.fail(outcome) : Effect.succeed<A>(outcome)

/** The bridge; fails where there is no addon. */
export const bridge: Effect.Effect<ImageBridge, AddonError> = Effect.map(loadAddon, (native) => {
  const run = <A extends object>(
    onProgress: (progress: Addon.ImageProgress) => void,
    start: (task: InstanceType<typeof native.ImageTask>) => Promise<Addon.Failure | A>
  ): Effect.Effect<A, Addon.Failure> =>
    Effect.suspend(() => {
      const task = new native.ImageTask(onProgress)
      const running = start(task)
      const ended = Effect.promise(() => running)
      // An interrupted operation is awaited, so nothing of it continues after the interruption.
      const given = Effect.onInterrupt(ended, () =>
        Effect.andThen(
          Effect.sync(() => task.cancel()),
          ended
        )
      )
      return Effect.flatMap(given, outcomeOf)
    })
  const nobody = () => {}
  return {
    resolve: (store, request, onProgress) => run(onProgress, (task) => task.resolve(store, request)),
    list: (store) => run(nobody, (task) => task.list(store)),
    prune: (store, maxBytes) => run(nobody, (task) => task.prune(store, maxBytes)),
    pushArtifact: (store, { manifest, mediaType, pieces, reference }, onProgress) =>
      run(onProgress, (task) => task.pushArtifact(store, reference, pieces, manifest, mediaType)),
    artifactManifest: (store, reference) => run(nobody, (task) => task.artifactManifest(store, reference)),
    fetchArtifact: (store, reference, pieces, onProgress) =>
      Effect.asVoid(run(onProgress, (task) => task.fetchArtifact(store, reference, pieces))),
    arrive: (store, reference, files) =>
      Effect.acquireRelease(
        run<Addon.ArtifactArrival>(nobody, (task) => task.arrive(store, reference, files)),
        (arrival) => Effect.promise(() => arrival.close())
      ).pipe(
        Effect.map((arrival) => ({
          ahead: (parts) => Effect.sync(() => arrival.ahead(parts)),
          rest: Effect.sync(() => arrival.rest()),
          progress: Effect.sync(() => arrival.progress()),
          settled: Effect.flatMap(
            Effect.promise(() => arrival.settle()),
            outcomeOf
          )
        }))
      ),
    everyFailure: native.everyImageFailure()
  }
})
