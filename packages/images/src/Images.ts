/**
 * OCI images as read-only file systems: from a layout, an archive or a registry, verified, built once, kept in a cache.
 *
 * @module
 */
import type { GuestImage } from "@stillpoint/core"
import { type AddonError, NativeImages } from "@stillpoint/native"
import { Context, Effect, Layer, Schema } from "effect"
import type { ImageError } from "./ImageError.ts"
import { checked, errorOf, ImagesData, type ImagesOptions, storeOf } from "./ImagesOptions.ts"
import { listened } from "./listened.ts"
import { ImageProgress, ResolveData, type ResolveOptions } from "./ResolveOptions.ts"

const bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** An image, which stays in the cache until the service that resolved it closes. */
export interface ResolvedImage extends GuestImage {
  /** Files, directories, links, devices and pipes in it. */
  readonly inodes: number
  /** Names of extended attributes that were left out because no Linux file system can store them. */
  readonly ignoredXattrs: ReadonlyArray<string>
  /** Whether it was in the cache already. */
  readonly wasCached: boolean
}

/** An image in the cache. */
export interface CachedImage {
  /** BLAKE3 of its file. */
  readonly digest: string
  readonly sizeBytes: number
  /** Digests of its unpacked layers, the lowest first. */
  readonly layers: ReadonlyArray<string>
  readonly lastUsedMillis: number
  /** Whether a service uses it, in this or another process. */
  readonly inUse: boolean
}

const isProgressListener = (value: unknown): value is (progress: ImageProgress) => void => typeof value === "function"

/** All that an image is resolved by. */
const ResolveRequest = Schema.Struct({
  reference: Schema.String,
  options: Schema.Struct({
    ...ResolveData.fields,
    onProgress: Schema.optionalKey(Schema.declare(isProgressListener, { expected: "a function" }))
  })
})

/** A manifest may claim any length; reading the blob detects a wrong one. */
const asNumber = (count: number | null): number => Math.min(count ?? 0, Number.MAX_SAFE_INTEGER)

const progressOf = (told: NativeImages.ImageProgress): ImageProgress => {
  const { doneBytes, layer, layers, step, totalBytes } = told
  const done = { doneBytes: asNumber(doneBytes), totalBytes: asNumber(totalBytes) }
  switch (step) {
    case "layer":
      return ImageProgress.cases.Layer.make({ index: layer ?? 0, count: layers ?? 0, ...done })
    case "writing":
      return ImageProgress.cases.Writing.make(done)
    case "waiting":
      return ImageProgress.cases.Waiting.make({})
    default:
      return ImageProgress.cases.Resolving.make({})
  }
}

/**
 * The service that resolves images.
 *
 * A reference is one of
 *
 * ```text
 * oci:FOLDER[:TAG | @DIGEST]             an OCI layout
 * oci-archive:FILE[:TAG | @DIGEST]       an OCI layout in a tar archive
 * docker-archive:FILE[:NAME:TAG]         what `docker save` writes
 * docker://REGISTRY/NAME[:TAG][@DIGEST]  an image of a registry; docker.io is Docker Hub
 * ```
 *
 * Everything is verified while it streams, layers are applied as the OCI specification says, and the result is one
 * EROFS file: the same bytes for the same layers, built once, shared by everything. Memory holds names and attributes
 * only. No privileges are needed. An image that was resolved stays in the cache until the service's layer closes.
 *
 * @example
 * ```ts
 * import { Images } from "@stillpoint/images"
 * import { Effect } from "effect"
 *
 * const root = (reference: string) =>
 *   Images.use((images) => images.resolve(reference)).pipe(
 *     Effect.map(({ config, file, sizeBytes }) => `${file}: ${sizeBytes} bytes, runs ${config.entrypoint.join(" ")}`),
 *     Effect.provide(Images.layer({ cacheDirectory: "/tmp/stillpoint-example-images" }))
 *   )
 * const { message } = await Effect.runPromise(Effect.flip(root("redis:7")))
 * console.log(message)
 * // reference: expected oci:FOLDER[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:NAME:TAG] or docker://REGISTRY/NAME[:TAG][@DIGEST], found "redis:7"
 * ```
 */
export class Images extends Context.Service<
  Images,
  {
    /** Resolves an image, from the cache or by building it. An interruption leaves nothing behind. */
    readonly resolve: (reference: string, options?: ResolveOptions) => Effect.Effect<ResolvedImage, ImageError>
    /** The images in the cache, the longest unused first. */
    readonly list: Effect.Effect<ReadonlyArray<CachedImage>, ImageError>
    /**
     * Removes unused images, the longest unused first, until at most `maxBytes` (default: 0) are left, and leftovers of
     * killed processes. Returns the removed images.
     */
    readonly prune: (options?: { readonly maxBytes?: number }) => Effect.Effect<ReadonlyArray<CachedImage>, ImageError>
  }
>()("@stillpoint/images/Images") {
  /** Images in one cache. */
  static readonly layer = (options: ImagesOptions = {}): Layer.Layer<Images, AddonError | ImageError> =>
    Layer.effect(
      Images,
      Effect.gen(function* () {
        const native = yield* NativeImages.bridge
        const store = storeOf(yield* checked(ImagesData, options))
        /** One hold of each image, by its file. */
        const held = new Map<string, NativeImages.NativeImage>()
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => {
            for (const image of held.values()) image.release()
            held.clear()
          })
        )
        const resolve = Effect.fn("Images.resolve")(function* (named: string, asked: ResolveOptions = {}) {
          const { options, reference } = yield* checked(ResolveRequest, { reference: named, options: asked })
          const { limits = {}, onProgress = () => {}, platform = "linux/riscv64" } = options
          const request: NativeImages.ImageRequest = {
            reference,
            platform,
            limits: {
              entries: limits.entries ?? null,
              unpackedBytes: limits.unpackedBytes ?? null,
              ratio: limits.ratio ?? null,
              metadataBytes: limits.metadataBytes ?? null,
              depth: limits.depth ?? null,
              layers: limits.layers ?? null
            }
          }
          const watch = listened(onProgress)
          const resolved = native.resolve(store, request, (told) => watch.tell(progressOf(told)))
          const image = yield* Effect.mapError(resolved, errorOf)
          const facts = image.takeFacts()
          if (facts === null) return yield* Effect.die("an image without facts")
          if (held.has(facts.file)) image.release()
          else held.set(facts.file, image)
          yield* watch.end
          return facts satisfies ResolvedImage
        })
        return Images.of({
          resolve,
          list: Effect.mapError(native.list(store), errorOf),
          prune: (asked = {}) =>
            Effect.flatMap(checked(Schema.Struct({ maxBytes: Schema.optionalKey(bytes) }), asked), ({ maxBytes = 0 }) =>
              Effect.mapError(native.prune(store, maxBytes), errorOf)
            )
        })
      })
    )
}
