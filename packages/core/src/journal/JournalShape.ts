/**
 * What a journal does, and what it keeps.
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

/** Where an append ended. */
export interface Appended {
  /** Version of the stream now. */
  readonly version: number
  /** Position of the last event appended; of the journal's last event for an empty append. */
  readonly position: number
}

/** How an append is done. */
export interface AppendOptions {
  /** Refuses the append where the stream is at another version: 0 for a stream that must be new. */
  readonly expectedVersion?: number
  /**
   * What an append survives once it has returned: a crash of the `host` (the default), or only a kill of the `process`, and a crash
   * of the host together with the next append that survives one. For much that comes fast: it need not wait for the disk.
   */
  readonly survives?: "host" | "process"
}

/** A name that nobody else has while this lasts. */
export interface Claim {
  /** Says that the name will not be claimed again, so that nothing need be kept for it. */
  readonly retire: Effect.Effect<void>
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
   * What is there after a position and, without gap or repetition, what comes; of one stream or of all. Never ends.
   *
   * It is pulled: a slow subscriber holds nothing up and loses nothing, whatever it leaves unread stays in the journal.
   */
  readonly subscribe: (options?: {
    readonly afterPosition?: number
    readonly stream?: string
  }) => Stream.Stream<JournalEntry, JournalError>
  /**
   * Claims a name until the scope closes or the process ends, however it ends; `null` where somebody else has it, in this process or
   * another one, thread or container. Never waits. A claim is no event: it says who is at work.
   */
  readonly claim: (name: string) => Effect.Effect<Claim | null, JournalError, Scope.Scope>
  /** Names of the streams that begin with a prefix, in the order of their first events. */
  readonly streams: (prefix?: string) => Effect.Effect<ReadonlyArray<string>, JournalError>
}
