/**
 * How far something is that takes long: a file of the guest kit, an image, an archive.
 *
 * @module
 */
import { Context } from "effect"

/** One step of it. */
export interface LongWork {
  readonly what: string
  readonly doneBytes: number
  /** 0 if it is not known. */
  readonly totalBytes: number
}

/** Receives those steps; ignores them by default. */
export const LongWorkListener = Context.Reference<(work: LongWork) => void>("stillpoint/LongWorkListener", {
  defaultValue: () => () => undefined
})
