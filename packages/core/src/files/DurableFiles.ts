/**
 * The few file operations that keeping things safely needs, each of which can fail or be the last one before a crash.
 *
 * @module
 */
import { Context, Layer } from "effect"
import type { DurableFilesShape } from "./DurableFilesShape.ts"
import { hostFiles } from "./hostFiles.ts"

export type * from "./DurableFilesShape.ts"

/**
 * File operations with explicit durability: data that was not flushed may be gone after a crash.
 *
 * The seam at which crashes and full disks are injected; see `MemoryFiles` in `@stillpoint/core/testing`.
 */
export class DurableFiles extends Context.Service<DurableFiles, DurableFilesShape>()(
  "@stillpoint/core/files/DurableFiles"
) {
  /** The host's file system. */
  static readonly layer: Layer.Layer<DurableFiles> = Layer.succeed(DurableFiles, hostFiles)
}
