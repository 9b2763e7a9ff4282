/**
 * Registry content that is not an image: a manifest, and pieces that are named by their digests.
 *
 * @module
 */
import { type AddonError, NativeImages } from "@stillpoint/native"
import { Context, Effect, Layer, Schema } from "effect"
import type { ImageError } from "./ImageError.ts"
import { checked, errorOf, ImagesData, type ImagesOptions, storeOf } from "./ImagesOptions.ts"
import { listened } from "./listened.ts"

const natural = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** A part of an artifact, and its places in files. */
export const ArtifactPiece = Schema.Struct({
  /** `sha256:` and 64 hexadecimal digits. */
  digest: Schema.String.check(Schema.isPattern(/^sha256:[0-9a-f]{64}$/)),
  /** At most 64 MiB. */
  size: natural,
  /** Read from the first; written to all. */
  places: Schema.Array(Schema.Struct({ file: Schema.NonEmptyString, offset: natural })).check(Schema.isMinLength(1))
})
export type ArtifactPiece = typeof ArtifactPiece.Type

const isListener = (value: unknown): value is (progress: TransferProgress) => void => typeof value === "function"
const Watched = Schema.Struct({
  onProgress: Schema.optionalKey(Schema.declare(isListener, { expected: "a function" }))
})

const PushRequest = Schema.Struct({
  reference: Schema.String,
  artifact: Schema.Struct({
    pieces: Schema.Array(ArtifactPiece),
    manifest: Schema.Uint8Array,
    mediaType: Schema.NonEmptyString
  }),
  watched: Watched
})
const FetchRequest = Schema.Struct({
  reference: Schema.String,
  pieces: Schema.Array(ArtifactPiece),
  watched: Watched
})

/** Progress of a transfer. */
export interface TransferProgress {
  readonly doneBytes: number
  readonly totalBytes: number
}

/** Options of a transfer. */
export interface TransferOptions {
  readonly onProgress?: (progress: TransferProgress) => void
}

/** An artifact to push to a registry. */
export interface Artifact {
  readonly pieces: ReadonlyArray<ArtifactPiece>
  /** Its manifest, as it is sent. */
  readonly manifest: Uint8Array
  readonly mediaType: string
}

/** The result of a push. */
export interface PushedArtifact {
  /** Digest of the manifest. */
  readonly digest: string
  /** Number of pieces that were sent; the registry had the others. */
  readonly sent: number
  readonly sentBytes: number
}

const watching = ({ onProgress = () => {} }: TransferOptions) => {
  const { end, tell } = listened(onProgress)
  const told = ({ doneBytes, totalBytes }: NativeImages.ImageProgress): void =>
    tell({ doneBytes: doneBytes ?? 0, totalBytes: totalBytes ?? 0 })
  return { end, told }
}

const mutable = (pieces: ReadonlyArray<ArtifactPiece>): Array<NativeImages.ArtifactPiece> =>
  pieces.map(({ digest, places, size }) => ({ digest, size, places: [...places] }))

/**
 * The service that pushes artifacts to registries and fetches them. It accesses registries as for images, with the same credentials,
 * certificates and mirrors, and retries temporary failures.
 *
 * @example
 * ```ts
 * import { Artifacts } from "@stillpoint/images"
 * import { Effect } from "effect"
 *
 * const { reason } = await Effect.runPromise(
 *   Effect.flip(Artifacts.use((artifacts) => artifacts.manifest("oci:layout"))).pipe(Effect.provide(Artifacts.layer()))
 * )
 * console.log(reason._tag) // ReferenceInvalid
 * ```
 */
export class Artifacts extends Context.Service<
  Artifacts,
  {
    /**
     * Sends the pieces that the registry lacks, and then the manifest, which moves the tag to this artifact. After an interruption, a
     * new push sends only the missing pieces.
     */
    readonly push: (
      reference: string,
      artifact: Artifact,
      options?: TransferOptions
    ) => Effect.Effect<PushedArtifact, ImageError>
    /** The current manifest of a reference. */
    readonly manifest: (
      reference: string
    ) => Effect.Effect<{ readonly digest: string; readonly bytes: Uint8Array }, ImageError>
    /** Writes pieces into existing files, each once it is verified. */
    readonly fetch: (
      reference: string,
      pieces: ReadonlyArray<ArtifactPiece>,
      options?: TransferOptions
    ) => Effect.Effect<void, ImageError>
  }
>()("@stillpoint/images/Artifacts") {
  /** Artifacts of registries, with the given options. */
  static readonly layer = (options: ImagesOptions = {}): Layer.Layer<Artifacts, AddonError | ImageError> =>
    Layer.effect(
      Artifacts,
      Effect.gen(function* () {
        const native = yield* NativeImages.bridge
        const store = storeOf(yield* checked(ImagesData, options))
        return Artifacts.of({
          push: Effect.fn("Artifacts.push")(function* (named, given, asked = {}) {
            const asking = { reference: named, artifact: given, watched: asked }
            const { artifact, reference, watched } = yield* checked(PushRequest, asking)
            const { manifest, mediaType, pieces } = artifact
            const { end, told } = watching(watched)
            const request = { reference, pieces: mutable(pieces), manifest, mediaType }
            const pushed = yield* Effect.mapError(native.pushArtifact(store, request, told), errorOf)
            yield* end
            return pushed
          }),
          manifest: Effect.fn("Artifacts.manifest")(function* (named) {
            const reference = yield* checked(Schema.String, named)
            return yield* Effect.mapError(native.artifactManifest(store, reference), errorOf)
          }),
          fetch: Effect.fn("Artifacts.fetch")(function* (named, given, asked = {}) {
            const request = { reference: named, pieces: given, watched: asked }
            const { pieces, reference, watched } = yield* checked(FetchRequest, request)
            const { end, told } = watching(watched)
            yield* Effect.mapError(native.fetchArtifact(store, reference, mutable(pieces), told), errorOf)
            yield* end
          })
        })
      })
    )
}
