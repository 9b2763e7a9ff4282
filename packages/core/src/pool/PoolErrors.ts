/**
 * Why a pool did not hand out a clone.
 *
 * @module
 */
import { Schema } from "effect"

/** Why an acquire failed. */
export const PoolReason = Schema.TaggedUnion({
  /** No clone was ready in time. `lastFailure` says why the latest attempt to make one failed; empty if none failed. */
  TimedOut: { waitedMillis: Schema.Number, inUse: Schema.Natural, maximum: Schema.Natural, lastFailure: Schema.String },
  /** Too many callers are waiting already. */
  TooManyWaiting: { waiting: Schema.Natural, limit: Schema.Natural },
  /** The pool is shutting down. */
  Draining: {},
  /** The options are invalid; every problem is listed. */
  OptionsInvalid: { problems: Schema.NonEmptyArray(Schema.String) }
})
export type PoolReason = typeof PoolReason.Type

/** A pool did not hand out a clone. */
export class PoolError extends Schema.TaggedError<PoolError>()("PoolError", { reason: PoolReason }) {
  override get message(): string {
    const { reason } = this
    switch (reason._tag) {
      case "TimedOut":
        return (
          `no clone was ready within ${reason.waitedMillis} ms; ${reason.inUse} of at most ${reason.maximum} are in use` +
          (reason.lastFailure === "" ? "" : `; the last attempt to make one failed: ${reason.lastFailure}`)
        )
      case "TooManyWaiting":
        return `${reason.waiting} callers are waiting for a clone already; the limit is ${reason.limit}`
      case "Draining":
        return "the pool is shutting down and hands out no more clones"
      case "OptionsInvalid":
        return `invalid pool options:${reason.problems.map((problem) => `\n  ${problem}`).join("")}`
    }
  }
}
