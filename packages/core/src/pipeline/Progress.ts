/**
 * The progress of a run.
 *
 * @module
 */
import { Context, Effect } from "effect"

/** One step of a run's progress. */
export interface Progress {
  readonly runId: string
  readonly stage: string
  readonly status: "started" | "finished" | "retrying" | "failed" | "cancelled"
  /** 1 for the first try. */
  readonly attempt: number
  /** Host time since the stage's first start, nanoseconds. */
  readonly hostNanos: number
  /** In words: why it failed, or is tried again; empty otherwise. */
  readonly detail: string
}

/** The listener for progress. It cannot fail a run, and should not delay it. */
export const ProgressListener = Context.Reference<(progress: Progress) => Effect.Effect<void>>(
  "@stillpoint/core/pipeline/ProgressListener",
  { defaultValue: () => () => Effect.void }
)
