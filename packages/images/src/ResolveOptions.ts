/**
 * Options of resolving an image, besides its name.
 *
 * @module
 */
import { Schema } from "effect"

const count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** Limits beyond which an image is refused. The defaults are far above the needs of real images. */
export const ImageLimits = Schema.Struct({
  /** Entries of all layers together; each takes some hundred bytes of memory. Default: 1,000,000. */
  entries: Schema.optionalKey(count),
  /** Bytes of all files together, holes included. Default: 32 GiB. */
  unpackedBytes: Schema.optionalKey(count),
  /** Unpacked bytes for each packed byte of a layer, after the first 256 MiB. Default: 200. */
  ratio: Schema.optionalKey(count),
  /** Bytes of names, links, attributes and maps of holes, which are held in memory. Default: 512 MiB. */
  metadataBytes: Schema.optionalKey(count),
  /** Depth of directories, at most 2,048. Default: 512. */
  depth: Schema.optionalKey(count),
  /** Number of layers. Default: 500. */
  layers: Schema.optionalKey(count)
})
export type ImageLimits = typeof ImageLimits.Type

/** Progress of an image. */
export const ImageProgress = Schema.TaggedUnion({
  /** Its documents are being read. */
  Resolving: {},
  /** Another process or another call is building the same image. */
  Waiting: {},
  /** A layer is being fetched and unpacked; `totalBytes` is 0 if its length is not known. */
  Layer: { index: Schema.Int, count: Schema.Int, doneBytes: Schema.Int, totalBytes: Schema.Int },
  /** The file is being written. */
  Writing: { doneBytes: Schema.Int, totalBytes: Schema.Int }
})
export type ImageProgress = typeof ImageProgress.Type

/** The part of the options that is data. */
export const ResolveData = Schema.Struct({
  platform: Schema.optionalKey(Schema.String),
  limits: Schema.optionalKey(ImageLimits)
})

/** Options for resolving an image. */
export interface ResolveOptions {
  /** `OS/ARCHITECTURE` or `OS/ARCHITECTURE/VARIANT`; default: `linux/riscv64`. */
  readonly platform?: string
  readonly limits?: ImageLimits
  /** Called with the progress, at most ten times a second. */
  readonly onProgress?: (progress: ImageProgress) => void
}
