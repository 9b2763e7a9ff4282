/**
 * A journal in one SQLite file, in write-ahead mode.
 *
 * ```text
 * streams  (id, name, version, checksum)                   one row a stream; its checksum is of id and name
 * entries  (position, stream, version, type, schema_version, checksum, json)
 * ```
 *
 * An append is one transaction that is flushed before it returns. `checksum` is the CRC-32 of type, versions and text: SQLite
 * notices damage to its structure, not to the text inside.
 *
 * @module
 */
import { DatabaseSync } from "node:sqlite"
import { crc32 } from "node:zlib"
import { Clock, Duration, Effect, Layer, Schedule, type Scope } from "effect"
import { makeHeadSignal } from "../internal/headSignal.ts"
import { pagedSubscription } from "./pagedSubscription.ts"
import { Journal, type Appended, type JournalEntry, type JournalRecord, type JournalShape } from "./Journal.ts"
import { JournalError, type JournalReason } from "./JournalErrors.ts"

/** How a journal file is opened. */
export interface SqliteJournalOptions {
  /** Path of the file; it is made where missing. */
  readonly path: string
  /** How long an append waits for another process's; 5 s if absent. */
  readonly busyTimeout?: Duration.Input
  /** How often a live subscription looks for events that other processes appended; 50 ms if absent. */
  readonly pollInterval?: Duration.Input
  /** Largest size of the file in bytes; an append beyond it is refused as `DiskFull`. */
  readonly maxSizeBytes?: number
}

/** "stil": tells a journal from any other SQLite file. */
const applicationId = 0x7374696c
const formatVersion = 1
const pageSize = 1024
const sqlitePageBytes = 4096

const schema = `
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE entries (
    position INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams(id), version INTEGER NOT NULL,
    type TEXT NOT NULL, schema_version INTEGER NOT NULL, checksum INTEGER NOT NULL, json TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX entries_by_stream ON entries(stream, version);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`

const checksumOf = (version: number, type: string, schemaVersion: number, json: string): number =>
  crc32(`${version} ${schemaVersion} ${type} ${json}`)

/** Primary result code of an SQLite error; `null` if it is not one. */
const sqliteCode = (cause: unknown): number | null =>
  typeof cause === "object" && cause !== null && "errcode" in cause && typeof cause.errcode === "number"
    ? cause.errcode & 0xff
    : null

const busyCodes: ReadonlySet<number | null> = new Set([5, 6])

const reasonOf = (path: string, cause: unknown): JournalReason => {
  const detail = cause instanceof Error ? cause.message : String(cause)
  switch (sqliteCode(cause)) {
    case 5:
    case 6:
      return { _tag: "Busy", path, waitedMillis: 0 }
    case 8:
      return { _tag: "ReadOnly", path }
    case 13:
      return { _tag: "DiskFull", path }
    case 11:
    case 26:
      return { _tag: "Corrupt", path, detail }
    default:
      return detail.includes("database is not open") ? { _tag: "Closed", path } : { _tag: "Unreadable", path, detail }
  }
}

interface Row {
  readonly position: number
  readonly name: string
  readonly version: number
  readonly type: string
  readonly schema_version: number
  readonly checksum: number
  readonly json: string
}

const openDatabase = (options: SqliteJournalOptions): DatabaseSync => {
  const database = new DatabaseSync(options.path, { timeout: 0 })
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    if (options.maxSizeBytes !== undefined) {
      database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(options.maxSizeBytes / sqlitePageBytes))}`)
    }
    return database
  } catch (cause) {
    database.close()
    throw cause
  }
}

const pragma = (database: DatabaseSync, name: string): number =>
  Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0])

const initialise = (database: DatabaseSync, path: string): JournalReason | null => {
  database.exec("BEGIN IMMEDIATE")
  try {
    const tables = Number(Object.values(database.prepare("SELECT count(*) FROM sqlite_schema").get() ?? {})[0])
    const found = pragma(database, "user_version")
    if (tables === 0) database.exec(schema)
    else if (pragma(database, "application_id") !== applicationId) {
      return { _tag: "Corrupt", path, detail: "it is a database of something else" }
    } else if (found !== formatVersion) return { _tag: "FormatUnknown", path, found, supported: formatVersion }
    database.exec("COMMIT")
    return null
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}

/** Opens a journal file; closed with the scope. */
export const makeSqliteJournal = (
  options: SqliteJournalOptions
): Effect.Effect<JournalShape, JournalError, Scope.Scope> =>
  Effect.gen(function* () {
    const { path } = options
    const busyTimeout = Duration.toMillis(Duration.fromInputUnsafe(options.busyTimeout ?? "5 seconds"))
    const poll = Duration.fromInputUnsafe(options.pollInterval ?? "50 millis")
    const signal = makeHeadSignal()

    /** Runs synchronous database work; waits, without blocking the process, while another one holds the lock. */
    const attempt = <A>(work: () => A): Effect.Effect<A, JournalError> =>
      Effect.gen(function* () {
        const begun = yield* Clock.currentTimeMillis
        const once = Effect.try({ try: work, catch: (cause) => cause })
        return yield* once.pipe(
          Effect.retry({
            schedule: Schedule.min([Schedule.exponential("1 millis"), Schedule.spaced("20 millis")]).pipe(
              Schedule.upTo({ duration: Duration.millis(busyTimeout) })
            ),
            while: (cause) => busyCodes.has(sqliteCode(cause))
          }),
          Effect.catch((cause) =>
            Effect.flatMap(Clock.currentTimeMillis, (now) => {
              const reason = cause instanceof JournalError ? cause.reason : reasonOf(path, cause)
              return Effect.fail(
                new JournalError({ reason: reason._tag === "Busy" ? { ...reason, waitedMillis: now - begun } : reason })
              )
            })
          )
        )
      })

    const database = yield* Effect.acquireRelease(
      attempt(() => openDatabase(options)),
      (open) => Effect.sync(() => open.close())
    )
    const refused = yield* attempt(() => initialise(database, path))
    if (refused !== null) return yield* new JournalError({ reason: refused })

    const statements = yield* attempt(() => ({
      findStream: database.prepare("SELECT id, version FROM streams WHERE name = ?"),
      addStream: database.prepare("INSERT INTO streams (id, name, version, checksum) VALUES (?, ?, 0, ?)"),
      // Without the index, for a name that the index does not know: it may be the index that is damaged.
      scanStream: database.prepare("SELECT id, version FROM streams NOT INDEXED WHERE name = ?"),
      lastStream: database.prepare("SELECT coalesce(max(id), 0) AS id FROM streams"),
      allStreams: database.prepare("SELECT id, name, checksum FROM streams"),
      setVersion: database.prepare("UPDATE streams SET version = ? WHERE id = ?"),
      head: database.prepare("SELECT coalesce(max(position), 0) AS position FROM entries"),
      insert: database.prepare(
        "INSERT INTO entries (position, stream, version, type, schema_version, checksum, json) VALUES (?, ?, ?, ?, ?, ?, ?)"
      ),
      readStream: database.prepare(
        "SELECT position, name, entries.version, type, schema_version, entries.checksum, json FROM entries JOIN streams ON streams.id = stream " +
          "WHERE name = ? AND entries.version > ? ORDER BY entries.version LIMIT ?"
      ),
      followStream: database.prepare(
        "SELECT position, name, entries.version, type, schema_version, entries.checksum, json FROM entries JOIN streams ON streams.id = stream " +
          "WHERE name = ? AND position > ? ORDER BY entries.version LIMIT ?"
      ),
      readAll: database.prepare(
        "SELECT position, name, entries.version, type, schema_version, entries.checksum, json FROM entries JOIN streams ON streams.id = stream " +
          "WHERE position > ? ORDER BY position LIMIT ?"
      ),
      streams: database.prepare(
        "SELECT name FROM streams WHERE version > 0 AND substr(name, 1, length(?1)) = ?1 ORDER BY id"
      )
    }))

    const damaged = (detail: string): JournalError => new JournalError({ reason: { _tag: "Corrupt", path, detail } })

    const checksumOfStream = (id: number, name: string): number => crc32(`${id} ${name}`)
    yield* attempt(() => {
      for (const row of statements.allStreams.all()) {
        const { checksum, id, name } = row as unknown as { checksum: number; id: number; name: string }
        if (checksum !== checksumOfStream(id, name)) throw damaged(`stream ${id} is not named as it was`)
      }
    })

    const findStream = (name: string): { readonly id: number; readonly version: number } | undefined =>
      (statements.findStream.get(name) ?? statements.scanStream.get(name)) as
        | { id: number; version: number }
        | undefined

    const addStream = (name: string): number => {
      const id = (statements.lastStream.get() as { id: number }).id + 1
      statements.addStream.run(id, name, checksumOfStream(id, name))
      return id
    }

    const appendNow = (
      stream: string,
      records: ReadonlyArray<JournalRecord>,
      expected: number | undefined
    ): Appended => {
      database.exec("BEGIN IMMEDIATE")
      try {
        const known = findStream(stream)
        const found = known?.version ?? 0
        if (expected !== undefined && expected !== found) {
          throw new JournalError({ reason: { _tag: "VersionConflict", stream, expected, found } })
        }
        let { position } = statements.head.get() as { position: number }
        let version = found
        if (records.length > 0) {
          const id = known?.id ?? addStream(stream)
          for (const { json, schemaVersion, type } of records) {
            version += 1
            position += 1
            statements.insert.run(
              position,
              id,
              version,
              type,
              schemaVersion,
              checksumOf(version, type, schemaVersion, json),
              json
            )
          }
          statements.setVersion.run(version, id)
        }
        database.exec("COMMIT")
        return { version, position }
      } finally {
        // A commit that failed, or a statement that ended the transaction by itself, leaves nothing to roll back.
        if (database.isOpen && database.isTransaction) database.exec("ROLLBACK")
      }
    }

    const entryOf = (row: Row): JournalEntry => {
      // Damage can turn a text into bytes, which have the same checksum.
      const isText = typeof row.json === "string" && typeof row.type === "string"
      if (!isText || row.checksum !== checksumOf(row.version, row.type, row.schema_version, row.json)) {
        throw damaged(`the event at position ${row.position} is not what was written`)
      }
      return {
        position: row.position,
        stream: row.name,
        version: row.version,
        type: row.type,
        schemaVersion: row.schema_version,
        json: row.json
      }
    }
    const rows = (found: ReadonlyArray<unknown>): ReadonlyArray<JournalEntry> =>
      (found as ReadonlyArray<Row>).map(entryOf)

    const readStream = (stream: string, after: number, limit: number): ReadonlyArray<JournalEntry> => {
      database.exec("BEGIN")
      try {
        const known = findStream(stream)
        const entries = rows(statements.readStream.all(stream, after, limit))
        const last = Math.max(after, known?.version ?? 0)
        const expected = limit < 0 ? last - after : Math.min(limit, last - after)
        const gap = entries.findIndex(({ version }, index) => version !== after + index + 1)
        if (gap >= 0 || entries.length !== expected) {
          throw damaged(`stream ${stream} lacks event ${after + (gap >= 0 ? gap : entries.length) + 1}`)
        }
        return entries
      } finally {
        if (database.isOpen && database.isTransaction) database.exec("COMMIT")
      }
    }
    const readAll = (after: number, limit: number): ReadonlyArray<JournalEntry> => {
      const entries = rows(statements.readAll.all(after, limit))
      const gap = entries.findIndex(({ position }, index) => position !== after + index + 1)
      if (gap >= 0) throw damaged(`the event at position ${after + gap + 1} is missing`)
      return entries
    }
    const limitOf = (limit: number | undefined): number => limit ?? -1

    const page = (stream: string | undefined) => (after: number) =>
      attempt(() =>
        stream === undefined ? readAll(after, pageSize) : rows(statements.followStream.all(stream, after, pageSize))
      )

    const shape: JournalShape = {
      append: (stream, records, appendOptions) =>
        Effect.tap(
          attempt(() => appendNow(stream, records, appendOptions?.expectedVersion)),
          () => Effect.sync(() => (records.length > 0 ? signal.raise() : undefined))
        ),
      read: (stream, readOptions) =>
        attempt(() => readStream(stream, readOptions?.afterVersion ?? 0, limitOf(readOptions?.limit))),
      readAll: (readOptions) => attempt(() => readAll(readOptions?.afterPosition ?? 0, limitOf(readOptions?.limit))),
      subscribe: (subscribeOptions) =>
        pagedSubscription({
          afterPosition: subscribeOptions?.afterPosition ?? 0,
          page: page(subscribeOptions?.stream),
          signal,
          waitAtMost: (wait) => Effect.asVoid(Effect.timeoutOption(wait, poll))
        }),
      streams: (prefix = "") => attempt(() => statements.streams.all(prefix).map((row) => String(row["name"])))
    }
    return shape
  })

/**
 * A journal in one file, closed with the layer's scope.
 *
 * @example
 * ```ts
 * import { journalSqlite } from "@stillpoint/core"
 *
 * export const layer = journalSqlite({ path: "runs.journal" })
 * ```
 */
export const journalSqlite = (options: SqliteJournalOptions): Layer.Layer<Journal, JournalError> =>
  Layer.effect(Journal, makeSqliteJournal(options))
