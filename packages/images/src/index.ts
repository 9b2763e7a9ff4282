/**
 * OCI images as read-only file systems for guests, and artifacts of registries.
 *
 * @module
 */
export * from "./Artifacts.ts"
export { ImageError, ImageReason } from "./ImageError.ts"
export { type CachedImage, Images, type ResolvedImage } from "./Images.ts"
export { imagesOptionsProblems, type ImagesOptions, type RegistryOptions } from "./ImagesOptions.ts"
export { ImageLimits, ImageProgress, type ResolveOptions } from "./ResolveOptions.ts"
