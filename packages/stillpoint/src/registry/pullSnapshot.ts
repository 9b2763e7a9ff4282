/**
 * From a registry to a snapshot of the store.
 *
 * @module
 */
import { DurableFiles, type StoredSnapshot, type TagOptions } from "@stillpoint/core"
import type { TransferOptions } from "@stillpoint/images"
import { Effect, Schema } from "effect"
import { checkedOptions, isFree, Path, SnapshotName, Tagging, Watching } from "../sandbox/checkedOptions.ts"
import { takeLineage } from "../transfer/takeLineage.ts"
import { beginPull } from "./beginPull.ts"

/** Options of a pull. */
export interface PullOptions extends TagOptions, TransferOptions {}

/** What a pull is asked for. */
export const PullAsked = Schema.Struct({
  reference: Path,
  name: Schema.optional(SnapshotName),
  options: Schema.Struct({ ...Watching.fields, ...Tagging.fields })
})

/** The result of a pull. */
export interface PulledSnapshot {
  readonly kept: StoredSnapshot
  /** Digest of the artifact. */
  readonly artifact: string
  /** Bytes that were fetched. */
  readonly fetchedBytes: number
}

/**
 * Takes a snapshot from a registry into the store, whole or not at all, under a name if one is given, with its ancestors. Pieces that
 * are here already are not fetched again; if two processes pull the same snapshot, one fetches it. Every piece is verified before it is
 * written.
 */
export const pullSnapshot = Effect.fn("pullSnapshot")(
  function* (reference: string, name?: string, options: PullOptions = {}) {
    yield* checkedOptions("pullSnapshot", PullAsked, { reference, name, options })
    const { onProgress, ...tagging } = options
    // Checked before any transfer, and again under the lock when the name is set.
    if (name !== undefined && tagging.replace !== true && tagging.expecting === undefined) yield* isFree(name)
    const begun = yield* beginPull(reference, onProgress === undefined ? {} : { onProgress })
    const kept = yield* takeLineage(begun, name, tagging)
    yield* begun.cleared
    return { kept, artifact: begun.artifact, fetchedBytes: begun.fetchedBytes() } satisfies PulledSnapshot
  },
  Effect.scoped,
  Effect.provide(DurableFiles.layer)
)
