/**
 * OCI images as read-only file systems for guests.
 *
 * @module
 */
export { ImageError, ImageReason } from "./ImageError.ts"
export { type CachedImage, Images, type ImagesOptions, type RegistryOptions, type ResolvedImage } from "./Images.ts"
export { ImageLimits, ImageProgress, type ResolveOptions } from "./ResolveOptions.ts"
