/**
 * Registry content that is not an image: a manifest, and pieces that are named by their digests.
 *
 * @module
 */
import { type AddonError, NativeImages } from "@stillpoint/native"
import { Context, Effect, Layer, Schema, type Scope } from "effect"
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

/** A file of an artifact that arrives: blocks of 16 KiB, and behind them the BLAKE3 of each. */
export const ArrivingFile = Schema.Struct({
  path: Schema.NonEmptyString,
  size: natural,
  /** BLAKE3 of the digests behind the blocks: 64 hexadecimal digits. */
  index: Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/)),
  /** Its pieces, one behind the other; elsewhere it is zero. */
  pieces: Schema.Array(Schema.Struct({ offset: natural, digest: ArtifactPiece.fields.digest, size: natural }))
})
export type ArrivingFile = typeof ArrivingFile.Type

/** A part of an arriving file, by the file's number. */
export interface ArrivingPart {
  readonly file: number
  readonly from: number
  readonly to: number
}

/** Files of an artifact that arrive while machines read them: who needs what is not there waits for it. */
export interface Arrival {
  /** Fetches parts in the background, in this order, after those that were named before. */
  readonly ahead: (parts: ReadonlyArray<ArrivingPart>) => Effect.Effect<void>
  /** Fetches everything else in the background. */
  readonly rest: Effect.Effect<void>
  readonly progress: Effect.Effect<TransferProgress & { readonly fetchedBytes: number }>
  /** Waits until everything that was named is there; the first failure ends the fetching in the background. */
  readonly settled: Effect.Effect<void, ImageError>
}

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
const ArriveRequest = Schema.Struct({ reference: Schema.String, files: Schema.Array(ArrivingFile) })
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
    /**
     * Has files arrive while the scope is open: a block of 16 KiB is fetched when a machine reads it first, and everything is verified
     * before it is written. A registry that fails is tried again as often as usual; then the machine that waits gets the error.
     */
    readonly arrive: (
      reference: string,
      files: ReadonlyArray<ArrivingFile>
    ) => Effect.Effect<Arrival, ImageError, Scope.Scope>
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
          }),
          arrive: Effect.fn("Artifacts.arrive")(function* (named, given) {
            const { files, reference } = yield* checked(ArriveRequest, { reference: named, files: given })
            const asked = files.map(({ pieces, ...file }) => ({
              ...file,
              pieces: pieces.map(({ digest, offset, size }) => ({
                digest,
                size,
                places: [{ file: file.path, offset }]
              }))
            }))
            const arrival = yield* Effect.mapError(native.arrive(store, reference, asked), errorOf)
            const progress = Effect.map(arrival.progress, ({ fetchedBytes, hereBytes, totalBytes }) => ({
              doneBytes: hereBytes,
              totalBytes,
              fetchedBytes
            }))
            return {
              ahead: (parts) => arrival.ahead([...parts]),
              rest: arrival.rest,
              progress,
              settled: Effect.asVoid(Effect.mapError(arrival.settled, errorOf))
            } satisfies Arrival
          })
        })
      })
    )
}
