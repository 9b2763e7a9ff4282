/**
 * What is asked for besides an image's name.
 *
 * @module
 */
import { Schema } from "effect"

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** What an image may ask of its host before it is refused. What is not said is far above what real images have. */
export const ImageLimits = Schema.Struct({
  /** Entries of all layers together; each takes some hundred bytes of memory. Usually 1,000,000. */
  entries: Schema.optionalKey(count),
  /** Bytes of all files together, holes included. Usually 32 GiB. */
  unpackedBytes: Schema.optionalKey(count),
  /** Bytes that a layer may unpack to for each of its own, after the first 256 MiB. Usually 200. */
  ratio: Schema.optionalKey(count),
  /** Bytes of names, links, attributes and maps of holes, which are held in memory. Usually 512 MiB. */
  metadataBytes: Schema.optionalKey(count),
  /** Directories inside one another, at most 2,048. Usually 512. */
  depth: Schema.optionalKey(count),
  /** Usually 500. */
  layers: Schema.optionalKey(count)
})
export type ImageLimits = typeof ImageLimits.Type

/** How far an image has come. */
export const ImageProgress = Schema.TaggedUnion({
  /** Its documents are read. */
  Resolving: {},
  /** The same image is built by somebody else: another process, or another call. */
  Waiting: {},
  /** A layer is fetched and unpacked; `totalBytes` is 0 where its length is not known. */
  Layer: { index: Schema.Int, count: Schema.Int, doneBytes: Schema.Int, totalBytes: Schema.Int },
  /** The file is written. */
  Writing: { doneBytes: Schema.Int, totalBytes: Schema.Int }
})
export type ImageProgress = typeof ImageProgress.Type

/** The part of the options that is data. */
export const ResolveData = Schema.Struct({
  platform: Schema.optionalKey(Schema.String),
  limits: Schema.optionalKey(ImageLimits)
})

/** What is asked for besides an image's name. */
export interface ResolveOptions {
  /** `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`. Usually `linux/riscv64`. */
  readonly platform?: string
  readonly limits?: ImageLimits
  /** Told how far it has come, ten times a second at most. */
  readonly onProgress?: (progress: ImageProgress) => void
}
