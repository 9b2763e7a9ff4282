import { Effect, Stream } from "effect"
import type { JournalEntry } from "./Journal.ts"
import type { JournalError } from "./JournalErrors.ts"
import type { HeadSignal } from "../internal/headSignal.ts"

/**
 * A subscription that reads pages and waits for the signal when a page is empty.
 *
 * Nothing can fall between history and live: both are reads of the same store, from the position after the last entry seen.
 */
export const pagedSubscription = (options: {
  readonly afterPosition: number
  readonly page: (afterPosition: number) => Effect.Effect<ReadonlyArray<JournalEntry>, JournalError>
  readonly signal: HeadSignal
  /** Bounds a wait, where other processes write without raising the signal. */
  readonly waitAtMost: (wait: Effect.Effect<void>) => Effect.Effect<void>
}): Stream.Stream<JournalEntry, JournalError> =>
  Stream.unfold(options.afterPosition, (position) =>
    Effect.gen(function* () {
      while (true) {
        const generation = options.signal.generation()
        const entries = yield* options.page(position)
        const last = entries.at(-1)
        if (last !== undefined) return [entries, last.position] as const
        yield* options.waitAtMost(options.signal.raisedSince(generation))
      }
    })
  ).pipe(Stream.flattenIterable)
