/**
 * The operations of a journal, and their guarantees.
 *
 * @module
 */
import type { Effect, Scope, Stream } from "effect"
import type { JournalError } from "./JournalErrors.ts"

/** One event as a journal stores it: its kind, the version of that kind's schema, and its JSON text. */
export interface JournalRecord {
  readonly type: string
  readonly schemaVersion: number
  readonly json: string
}

/** One stored event. */
export interface JournalEntry extends JournalRecord {
  /** Place in the whole journal: ascending, unique; 1 is the first. */
  readonly position: number
  readonly stream: string
  /** Place in its stream: 1, 2, 3 … without gaps. */
  readonly version: number
}

/** The result of an append. */
export interface Appended {
  /** Version of the stream now. */
  readonly version: number
  /** Position of the last event appended; of the journal's last event for an empty append. */
  readonly position: number
}

/** Options of an append. */
export interface AppendOptions {
  /** Refuses the append where the stream is at another version: 0 for a stream that must be new. */
  readonly expectedVersion?: number
  /**
   * What the append survives once it has returned: a crash of the `host` (the default), or only a kill of the `process`, until
   * the next append with `host`. Use `process` for large, frequent appends: they do not wait for the disk.
   */
  readonly survives?: "host" | "process"
}

/** Operations of a {@link Journal}. */
export interface JournalShape {
  /** Appends all of some events to a stream, or none. When it returns they survive a kill of the process. */
  readonly append: (
    stream: string,
    records: ReadonlyArray<JournalRecord>,
    options?: AppendOptions
  ) => Effect.Effect<Appended, JournalError>
  /** Events of one stream after a version, in order, at most `limit`. A stream that does not exist is empty. */
  readonly read: (
    stream: string,
    options?: { readonly afterVersion?: number; readonly limit?: number }
  ) => Effect.Effect<ReadonlyArray<JournalEntry>, JournalError>
  /** Events of the whole journal after a position, in order, at most `limit`. */
  readonly readAll: (options?: {
    readonly afterPosition?: number
    readonly limit?: number
  }) => Effect.Effect<ReadonlyArray<JournalEntry>, JournalError>
  /**
   * Existing events after a position and then new ones, without gap or repetition, of one stream or of all. Never ends.
   *
   * It is pulled: a slow subscriber delays no other and loses nothing, because unread events stay in the journal.
   */
  readonly subscribe: (options?: {
    readonly afterPosition?: number
    readonly stream?: string
  }) => Stream.Stream<JournalEntry, JournalError>
  /**
   * Claims a name until the scope closes or the process ends in any way; `false` if the name is claimed already, in this process
   * or another one, thread or container. Waits for nothing but a {@link JournalShape.sweepClaims} in progress. A claim is not an event; it
   * only shows which process is at work.
   */
  readonly claim: (name: string) => Effect.Effect<boolean, JournalError, Scope.Scope>
  /** Removes what is left of the claims of processes that were killed, and nothing of a claim that lasts; the number of those. */
  readonly sweepClaims: Effect.Effect<number, JournalError>
  /** Names of the streams that begin with a prefix, in the order of their first events. */
  readonly streams: (prefix?: string) => Effect.Effect<ReadonlyArray<string>, JournalError>
}
