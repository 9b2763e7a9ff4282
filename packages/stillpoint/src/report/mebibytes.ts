/**
 * Sizes in words.
 *
 * @module
 */

/** Bytes as people read them. */
export const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`
