/**
 * Errors of resolving an image.
 *
 * @module
 */
import { Schema } from "effect"

const said = {
  /** What was expected, what was found, what to do. */
  message: Schema.String
} as const

/** The cause of an image error. The names are those of the Rust core; a test sends each of them across. */
export const ImageReason = Schema.TaggedUnion({
  /** Invalid options, all of them at once. */
  OptionsInvalid: said,
  ReferenceInvalid: said,
  OptionInvalid: said,
  SourceUnreadable: said,
  SourceInvalid: said,
  /** The source has no image of that name; the message lists its names. */
  ImageUnknown: said,
  /** The image is not made for that platform; the message lists its platforms. */
  PlatformMissing: said,
  BlobMissing: said,
  BlobSizeWrong: said,
  BlobDigestWrong: said,
  /** A layer unpacks to other contents than the image's configuration says. */
  DiffIdWrong: said,
  DocumentInvalid: said,
  DocumentTooLarge: said,
  MediaTypeUnknown: said,
  SchemaOne: said,
  ForeignLayer: said,
  LayerCorrupt: said,
  /** A layer has an entry that points outside the root, or that no file system can store. */
  EntryRefused: said,
  LimitExceeded: said,
  RegistryUnreachable: said,
  RegistryRefused: said,
  /** The registry violates the protocol. */
  RegistryInvalid: said,
  Unauthorized: said,
  CredentialsUnusable: said,
  Insecure: said,
  TimedOut: said,
  CacheUnusable: said,
  DiskFull: said,
  /** The images in use leave no room within `maxBytes`. */
  CacheFull: said,
  Cancelled: said,
  Panicked: said
})
export type ImageReason = typeof ImageReason.Type

/** An image could not be resolved. Nothing unfinished is left behind. */
export class ImageError extends Schema.TaggedError<ImageError>()("ImageError", { reason: ImageReason }) {
  override get message(): string {
    return this.reason.message
  }
}
