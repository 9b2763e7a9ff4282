/**
 * OCI images as read-only file systems: from a layout, an archive or a registry, verified, built once, kept in a cache.
 *
 * @module
 */
import type { GuestImage } from "@stillpoint/core"
import { type AddonError, NativeImages } from "@stillpoint/native"
import { Context, Effect, Layer, Redacted, Result, Schema } from "effect"
import { homedir } from "node:os"
import { join, resolve as absolute } from "node:path"
import { ImageError, type ImageReason } from "./ImageError.ts"
import { ImageProgress, ResolveData, type ResolveOptions } from "./ResolveOptions.ts"

const bytes = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
const secret = Schema.Union([Schema.String, Schema.Redacted(Schema.String)])

const RegistryData = Schema.Struct({
  mirrors: Schema.optionalKey(Schema.Array(Schema.String)),
  credentials: Schema.optionalKey(
    Schema.Union([
      Schema.Struct({ username: Schema.String, password: secret }),
      Schema.Struct({ identityToken: secret })
    ])
  ),
  certificateAuthorities: Schema.optionalKey(Schema.Array(Schema.String)),
  tls: Schema.optionalKey(Schema.Boolean)
})

/** What is said of one registry. */
export interface RegistryOptions {
  /** URLs of others that have the same images; asked first, in this order. */
  readonly mirrors?: ReadonlyArray<string>
  /** In place of what Docker's configuration says. */
  readonly credentials?:
    | { readonly username: string; readonly password: string | Redacted.Redacted<string> }
    | { readonly identityToken: string | Redacted.Redacted<string> }
  /** Files of certificates (PEM) that are trusted in place of the system's. */
  readonly certificateAuthorities?: ReadonlyArray<string>
  /** Whether a registry of this machine is spoken with by TLS; others always are. Usually not. */
  readonly tls?: boolean
}

const ImagesData = Schema.Struct({
  cacheDirectory: Schema.optionalKey(Schema.String.check(Schema.isMinLength(1))),
  maxBytes: Schema.optionalKey(bytes),
  registries: Schema.optionalKey(Schema.Record(Schema.String, RegistryData)),
  dockerConfig: Schema.optionalKey(Schema.String),
  silenceMillis: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)))
})

/** Where images are kept, and how registries are spoken with. */
export interface ImagesOptions {
  /** Usually `STILLPOINT_IMAGES_DIR`, else a folder in the user's cache. It may be shared by any number of processes. */
  readonly cacheDirectory?: string
  /** Bytes that the cache may take; what was unused longest goes first, what is in use stays. Usually 32 GiB. */
  readonly maxBytes?: number
  /** Single registries, by host and port as they stand in references. */
  readonly registries?: Readonly<Record<string, RegistryOptions>>
  /** Docker's `config.json`. Usually where Docker has it: `DOCKER_CONFIG`, else `~/.docker`. */
  readonly dockerConfig?: string
  /** How long nothing may come of a registry before it is given up. Usually 30,000. */
  readonly silenceMillis?: number
}

/** An image that stays in the cache for as long as the service lives that resolved it. */
export interface ResolvedImage extends GuestImage {
  /** Files, directories, links, devices and pipes in it. */
  readonly inodes: number
  /** Names of extended attributes that it has and that no file system of Linux holds; they were left out. */
  readonly ignoredXattrs: ReadonlyArray<string>
  /** Whether it was built before. */
  readonly wasCached: boolean
}

/** An image of the cache. */
export interface CachedImage {
  /** BLAKE3 of its file. */
  readonly digest: string
  readonly sizeBytes: number
  /** Digests of what its layers unpack to, the lowest first. */
  readonly layers: ReadonlyArray<string>
  readonly lastUsedMillis: number
  /** Whether a service holds it: here, or in another process. */
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

const usualDirectory = (environment: NodeJS.ProcessEnv): string => {
  const named = environment["STILLPOINT_IMAGES_DIR"]
  if (named !== undefined && named !== "") return named
  const cache = environment["XDG_CACHE_HOME"]
  return join(cache !== undefined && cache !== "" ? cache : join(homedir(), ".cache"), "stillpoint/images")
}

const errorOf = ({ message, name }: NativeImages.Failure): ImageError =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a test sends every name across
  new ImageError({ reason: { _tag: name, message } as ImageReason })

const checked = <S extends Schema.Constraint>(schema: S, found: unknown): Effect.Effect<S["Type"], ImageError> =>
  Effect.suspend(() => {
    const decoded = Schema.decodeUnknownResult(schema as never, { errors: "all", onExcessProperty: "error" })(found)
    return Result.isSuccess(decoded)
      ? Effect.succeed(decoded.success as S["Type"])
      : Effect.fail(new ImageError({ reason: { _tag: "OptionsInvalid", message: decoded.failure.message } }))
  })

const revealed = (text: string | Redacted.Redacted<string>): string =>
  typeof text === "string" ? text : Redacted.value(text)

const storeOf = (options: ImagesOptions): NativeImages.ImageStore => ({
  cacheDirectory: absolute(options.cacheDirectory ?? usualDirectory(process.env)),
  maxBytes: options.maxBytes ?? 32 * 2 ** 30,
  registries: Object.entries(options.registries ?? {}).map(([registry, said]) => {
    const { credentials } = said
    return {
      registry,
      mirrors: [...(said.mirrors ?? [])],
      username: credentials !== undefined && "username" in credentials ? credentials.username : null,
      password: credentials !== undefined && "password" in credentials ? revealed(credentials.password) : null,
      identityToken:
        credentials !== undefined && "identityToken" in credentials ? revealed(credentials.identityToken) : null,
      certificateAuthorities: [...(said.certificateAuthorities ?? [])],
      tls: said.tls ?? false
    }
  }),
  dockerConfig: options.dockerConfig ?? null,
  silenceMillis: options.silenceMillis ?? 30_000
})

const progressOf = (told: NativeImages.ImageProgress): ImageProgress => {
  const { doneBytes, layer, layers, stage, totalBytes } = told
  const done = { doneBytes: doneBytes ?? 0, totalBytes: totalBytes ?? 0 }
  switch (stage) {
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
 * The service that has images ready.
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
    /** The image of that name: built, unless it is in the cache. Interrupted, it leaves nothing. */
    readonly resolve: (reference: string, options?: ResolveOptions) => Effect.Effect<ResolvedImage, ImageError>
    /** What is in the cache, the longest unused first. */
    readonly list: Effect.Effect<ReadonlyArray<CachedImage>, ImageError>
    /**
     * Removes images that nobody uses, the longest unused first, until no more than `maxBytes` (usually 0) are left, and
     * what killed processes left behind. Gives back what went.
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
          const resolved = native.resolve(store, request, (told) => onProgress(progressOf(told)))
          const image = yield* Effect.mapError(resolved, errorOf)
          const facts = image.takeFacts()
          if (facts === null) return yield* Effect.die("an image without facts")
          if (held.has(facts.file)) image.release()
          else held.set(facts.file, image)
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
