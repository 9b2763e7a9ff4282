/**
 * The port to durable, ordered, append-only streams of events.
 *
 * @module
 */
import { Context, Layer } from "effect"
import type { JournalError } from "./JournalErrors.ts"
import type { JournalShape } from "./JournalShape.ts"
import { makeMemoryJournal } from "./memoryJournal.ts"
import { makeSqliteJournal, type SqliteJournalOptions } from "./sqliteJournal.ts"

export type * from "./JournalShape.ts"

/**
 * The port that stores the events of runs.
 *
 * @example
 * ```ts
 * import { Journal } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const journal = yield* Journal
 *   yield* journal.append("run/1", [{ type: "Started", schemaVersion: 1, json: "{}" }], { expectedVersion: 0 })
 *   const conflict = yield* Effect.flip(journal.append("run/1", [], { expectedVersion: 0 }))
 *   console.log(conflict.reason._tag) // VersionConflict
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Journal.layerMemory)))
 * ```
 */
export class Journal extends Context.Service<Journal, JournalShape>()("@stillpoint/core/journal/Journal") {
  /** A journal in memory, for tests and for runs that need not survive. */
  static readonly layerMemory: Layer.Layer<Journal> = Layer.sync(Journal, makeMemoryJournal)

  /**
   * A journal in one file, closed with the layer's scope.
   *
   * @example
   * ```ts
   * import { Journal } from "@stillpoint/core"
   *
   * export const layer = Journal.layerSqlite({ path: "runs.journal" })
   * ```
   */
  static readonly layerSqlite = (options: SqliteJournalOptions): Layer.Layer<Journal, JournalError> =>
    Layer.effect(Journal, makeSqliteJournal(options))
}
