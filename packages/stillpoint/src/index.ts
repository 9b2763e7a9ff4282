/**
 * Reports: what a boot and a run looked like.
 *
 * @module
 */
export * from "./report/bootPicture.ts"
export * from "./report/runPicture.ts"
