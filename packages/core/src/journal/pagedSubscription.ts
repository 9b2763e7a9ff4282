import { Effect, Stream } from "effect"
import type { JournalEntry } from "./JournalShape.ts"
import type { JournalError } from "./JournalErrors.ts"
import type { HeadSignal } from "../internal/headSignal.ts"

/**
 * A subscription that reads pages and waits for the signal when a page is empty.
 *
 * Nothing can fall between history and live: both are reads of the same store, after the last entry seen. Of one stream that is a
 * version, of all a position.
 */
export const pagedSubscription = (options: {
  /** After which place the first page begins; it may be earlier than `afterPosition`. */
  readonly begin: Effect.Effect<number, JournalError>
  readonly page: (after: number) => Effect.Effect<ReadonlyArray<JournalEntry>, JournalError>
  readonly place: "position" | "version"
  readonly afterPosition: number
  readonly signal: HeadSignal
  /** Bounds a wait, where other processes write without raising the signal. */
  readonly waitAtMost: (wait: Effect.Effect<void>) => Effect.Effect<void>
}): Stream.Stream<JournalEntry, JournalError> =>
  Stream.unwrap(
    Effect.map(options.begin, (begin) =>
      Stream.unfold(begin, (after) =>
        Effect.gen(function* () {
          while (true) {
            const generation = options.signal.generation()
            const entries = yield* options.page(after)
            const last = entries.at(-1)
            if (last !== undefined) return [entries, last[options.place]] as const
            yield* options.waitAtMost(options.signal.raisedSince(generation))
          }
        })
      )
    )
  ).pipe(
    Stream.flattenIterable,
    Stream.filter((entry) => entry.position > options.afterPosition)
  )
