/**
 * What the addon does with images: the bridge under `Images` of `@stillpoint/images`.
 *
 * @module
 */
import { Effect } from "effect"
import type {
  ArtifactManifest,
  ArtifactPiece,
  ArtifactPushed,
  CachedImage,
  Failure,
  ImageLimits,
  ImageProgress,
  ImageRegistry,
  ImageRequest,
  ImageStore,
  NativeImage
} from "./binding/Addon.ts"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"

export type {
  ArtifactPiece,
  CachedImage,
  Failure,
  ImageLimits,
  ImageProgress,
  ImageRegistry,
  ImageRequest,
  ImageStore,
  NativeImage
}

/** Operations on images. Each runs on a thread of its own; interrupted, it is given up and awaited. */
export interface ImageBridge {
  readonly resolve: (
    store: ImageStore,
    request: ImageRequest,
    onProgress: (progress: ImageProgress) => void
  ) => Effect.Effect<NativeImage, Failure>
  readonly list: (store: ImageStore) => Effect.Effect<ReadonlyArray<CachedImage>, Failure>
  readonly prune: (store: ImageStore, maxBytes: number) => Effect.Effect<ReadonlyArray<CachedImage>, Failure>
  readonly pushArtifact: (
    store: ImageStore,
    artifact: {
      readonly reference: string
      readonly pieces: Array<ArtifactPiece>
      readonly manifest: Uint8Array
      readonly mediaType: string
    },
    onProgress: (progress: ImageProgress) => void
  ) => Effect.Effect<ArtifactPushed, Failure>
  readonly artifactManifest: (store: ImageStore, reference: string) => Effect.Effect<ArtifactManifest, Failure>
  readonly fetchArtifact: (
    store: ImageStore,
    reference: string,
    pieces: Array<ArtifactPiece>,
    onProgress: (progress: ImageProgress) => void
  ) => Effect.Effect<void, Failure>
  /** One of every failure, for tests. */
  readonly everyFailure: ReadonlyArray<Failure>
}

/** The bridge; fails where there is no addon. */
export const bridge: Effect.Effect<ImageBridge, AddonError> = Effect.map(loadAddon, (native) => {
  const run = <A extends object>(
    onProgress: (progress: ImageProgress) => void,
    start: (task: InstanceType<typeof native.ImageTask>) => Promise<Failure | A>
  ): Effect.Effect<A, Failure> =>
    Effect.suspend(() => {
      const task = new native.ImageTask(onProgress)
      const running = start(task)
      const ended = Effect.promise(() => running)
      // Given up, it still ends: nothing of it goes on when whoever interrupted goes on.
      const given = Effect.onInterrupt(ended, () =>
        Effect.andThen(
          Effect.sync(() => task.cancel()),
          ended
        )
      )
      return Effect.flatMap(given, (outcome) =>
        "failed" in outcome ? Effect.fail(outcome) : Effect.succeed<A>(outcome)
      )
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
    everyFailure: native.everyImageFailure()
  }
})
