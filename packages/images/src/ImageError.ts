/**
 * Why there is no image.
 *
 * @module
 */
import { Schema } from "effect"

const said = {
  /** What was expected, what was found, what to do. */
  message: Schema.String
} as const

/** Why there is no image. The names are those of the core in Rust; a test sends every one of them across. */
export const ImageReason = Schema.TaggedUnion({
  /** Options of this side that cannot be, all of them at once. */
  OptionsInvalid: said,
  ReferenceInvalid: said,
  OptionInvalid: said,
  SourceUnreadable: said,
  SourceInvalid: said,
  /** The source has no image of that name; the names that it has are said. */
  ImageUnknown: said,
  /** The image is not made for that platform; those that it is made for are said. */
  PlatformMissing: said,
  BlobMissing: said,
  BlobSizeWrong: said,
  BlobDigestWrong: said,
  /** A layer unpacks to something else than the image's configuration says. */
  DiffIdWrong: said,
  DocumentInvalid: said,
  DocumentTooLarge: said,
  MediaTypeUnknown: said,
  SchemaOne: said,
  ForeignLayer: said,
  LayerCorrupt: said,
  /** An entry that reaches out of the root, or that no file system can have. */
  EntryRefused: said,
  LimitExceeded: said,
  RegistryUnreachable: said,
  RegistryRefused: said,
  /** The registry does not keep to the protocol. */
  RegistryInvalid: said,
  Unauthorized: said,
  CredentialsUnusable: said,
  Insecure: said,
  TimedOut: said,
  CacheUnusable: said,
  DiskFull: said,
  /** What is in use leaves no room within `maxBytes`. */
  CacheFull: said,
  Cancelled: said,
  Panicked: said
})
export type ImageReason = typeof ImageReason.Type

/** An image that could not be had. Nothing half-made stays anywhere. */
export class ImageError extends Schema.TaggedError<ImageError>()("ImageError", { reason: ImageReason }) {
  override get message(): string {
    return this.reason.message
  }
}
