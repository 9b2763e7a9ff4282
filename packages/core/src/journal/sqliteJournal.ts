/**
 * A journal in one SQLite file, in write-ahead mode.
 *
 * ```text
 * guard    one row: whose log belongs to the file (see `journalGuard`)
 * streams  (id, name, version, checksum)           one row a stream; its checksum is of id and name
 * entries  (position, stream, version, count, checksum, kinds, body)
 *          one row for the events of an append, or for each 256 KiB of them (see `packedEvents`); `position` and
 *          `version` are those of its last event, `count` says how many it holds
 * ```
 *
 * An append is one transaction that is flushed before it returns or, on request, together with the next one that is. `checksum`
 * is the CRC-32 of the journal's id and everything else in the row, because SQLite detects damage to its structure, not to the
 * text inside. Damage to the write-ahead log of a killed process looks like an interrupted append, and ends the journal there:
 * SQLite cannot tell the two apart.
 *
 * @module
 */
import { readlinkSync, realpathSync } from "node:fs"
import { dirname, join, resolve, basename } from "node:path"
import { crc32 } from "node:zlib"
import { Clock, Duration, Effect, Schedule, type Scope } from "effect"
import { countProblems, durationProblems, isRecord, isText, kindProblems, unknownProblems } from "../optionProblems.ts"
import { makeHeadSignal } from "../internal/headSignal.ts"
import type { Appended, AppendOptions, JournalEntry, JournalRecord, JournalShape } from "./JournalShape.ts"
import { JournalError, type JournalReason } from "./JournalErrors.ts"
import { journalClaims } from "./journalClaims.ts"
import { bringIntoFile, busy, fileObstacle, initialise, isBusy, openDatabase, reasonOf } from "./journalFile.ts"
import { cutObstacle, guardOfFile, guardPageOf, logObstacle, makeClaimsFolder, readGuard } from "./journalGuard.ts"
import { packEvents, unpackEvents } from "./packedEvents.ts"
import { pagedSubscription } from "./pagedSubscription.ts"
import { closeJournal, closeUntouched, closeWithProcess, type StandingFiles, watchFiles } from "./standingFiles.ts"
import { unfitFile } from "./unfitFiles.ts"

/** Options of a journal file. */
export interface SqliteJournalOptions {
  /** Path of the file; it is made where missing. */
  readonly path: string
  /** Maximum wait for an append of another process; 5 s if absent. */
  readonly busyTimeout?: Duration.Input
  /** Interval at which a live subscription looks for events of other processes; 50 ms if absent. */
  readonly pollInterval?: Duration.Input
  /** Largest size of the file in bytes; an append beyond it is refused as `DiskFull`. */
  readonly maxSizeBytes?: number
}

const pageSize = 1024

interface Row {
  readonly position: number
  readonly stream: number
  readonly name: string
  readonly version: number
  readonly count: number
  readonly checksum: number
  readonly kinds: string
  readonly body: string
}

/** Checksums of one journal's rows, which are wrong in any other journal. */
const checksumsOf = (journal: string) => ({
  checksumOf: (row: Omit<Row, "name" | "checksum">): number =>
    crc32(row.body, crc32(`${journal} ${row.position} ${row.stream} ${row.version} ${row.count} ${row.kinds}`)),
  checksumOfStream: (id: number, name: string): number => crc32(`${journal} ${id} ${name}`)
})

const optionNames = {
  path: true,
  busyTimeout: true,
  pollInterval: true,
  maxSizeBytes: true
} as const satisfies Record<keyof SqliteJournalOptions, true>

const optionProblems = (options: SqliteJournalOptions): ReadonlyArray<string> =>
  isRecord(options)
    ? [
        ...unknownProblems("journal", options, optionNames),
        ...kindProblems(
          "journal.path",
          options.path,
          "the path of a file",
          (path) => isText(path) && path !== "" && !path.includes("\0")
        ),
        ...durationProblems("journal.busyTimeout", options.busyTimeout),
        ...durationProblems("journal.pollInterval", options.pollInterval),
        ...countProblems("journal.maxSizeBytes", options.maxSizeBytes, 1)
      ]
    : kindProblems("journal", options, "{ path }", isRecord)

/** The real path of a file, existing or not, behind all links: its log lies beside it. */
const placeOf = (path: string, links = 40): string => {
  try {
    return realpathSync(path)
  } catch {
    // It does not exist yet, perhaps behind a link; opening it will report why it cannot be created.
  }
  try {
    const place = join(realpathSync(dirname(path)), basename(path))
    const target = readlinkSync(place, { encoding: "utf8" })
    return links === 0 ? path : placeOf(resolve(dirname(place), target), links - 1)
  } catch {
    return path
  }
}

/** Opens a journal file; closed with the scope. */
export const makeSqliteJournal = (
  options: SqliteJournalOptions
): Effect.Effect<JournalShape, JournalError, Scope.Scope> =>
  Effect.gen(function* () {
    const [problem, ...problems] = optionProblems(options)
    if (problem !== undefined) {
      return yield* new JournalError({ reason: { _tag: "OptionsInvalid", problems: [problem, ...problems] } })
    }
    const path = placeOf(resolve(options.path))
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
            while: isBusy
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

    const unfit = yield* attempt(() => unfitFile(path))
    if (unfit !== null) return yield* new JournalError({ reason: unfit })
    const cut = yield* Effect.repeat(
      attempt(() => cutObstacle(path)),
      { schedule: Schedule.spaced("20 millis"), times: 10, until: (found) => found === null }
    )
    if (cut !== null) return yield* new JournalError({ reason: cut })
    const obstacle = yield* attempt(() => fileObstacle(path) ?? logObstacle(path))
    if (obstacle !== null) return yield* new JournalError({ reason: obstacle })
    let opened: StandingFiles | null = null
    /** Whether it is known to be a complete journal: only then it is closed as one, and otherwise left untouched. */
    let isAccepted = false
    const database = yield* Effect.acquireRelease(
      attempt(() => openDatabase(path, options.maxSizeBytes)),
      (open) =>
        Effect.sync(() =>
          opened !== null && isAccepted ? closeJournal(open, opened) : closeUntouched(path, open, opened)
        )
    )
    const refused = yield* attempt(() => initialise(database, path))
    if (refused !== null) return yield* new JournalError({ reason: refused })

    const damaged = (detail: string): JournalError => new JournalError({ reason: { _tag: "Corrupt", path, detail } })

    const guard = yield* attempt(() => {
      const guard = readGuard(database)
      if (guard === null) throw damaged("its guard differs from the one that was written")
      // The id has to be in the file itself before anything is in the log: it tells whose the log is.
      // Another process that makes the same journal may be about to.
      const isInFile = (): boolean => guardOfFile(path)?.id === guard.id
      if (guard.head === 0 && guard.state === "closed" && !bringIntoFile(database) && !isInFile()) throw busy()
      return guard
    })
    const files = yield* attempt(() => watchFiles(path, guard, guardPageOf(database)))
    opened = files
    const { checksumOf, checksumOfStream } = checksumsOf(guard.id)
    const must = (reason: JournalReason | null): void => {
      if (reason !== null) throw new JournalError({ reason })
    }
    const look = <A>(work: () => A): Effect.Effect<A, JournalError> =>
      attempt(() => {
        files.mustBeMapped()
        return work()
      })

    const statements = yield* attempt(() => ({
      findStream: database.prepare("SELECT id, version FROM streams WHERE name = ?"),
      addStream: database.prepare("INSERT INTO streams (id, name, version, checksum) VALUES (?, ?, 0, ?)"),
      // Without the index, for a name that the index does not know: it may be the index that is damaged.
      scanStream: database.prepare("SELECT id, version FROM streams NOT INDEXED WHERE name = ?"),
      lastStream: database.prepare("SELECT coalesce(max(id), 0) AS id FROM streams"),
      allStreams: database.prepare("SELECT id, name, checksum FROM streams"),
      guardState: database.prepare("SELECT state FROM guard"),
      setGuard: database.prepare("UPDATE guard SET state = 'open', head = ?"),
      ends: database.prepare(
        "SELECT (SELECT head FROM guard) AS head, (SELECT coalesce(max(position), 0) FROM entries) AS last"
      ),
      setVersion: database.prepare("UPDATE streams SET version = ? WHERE id = ?"),
      head: database.prepare("SELECT coalesce(max(position), 0) AS position FROM entries"),
      insert: database.prepare(
        "INSERT INTO entries (position, stream, version, count, checksum, kinds, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
      ),
      rowsOfStream: database.prepare(
        "SELECT position, stream, name, entries.version, count, entries.checksum, kinds, body " +
          "FROM entries JOIN streams ON streams.id = stream WHERE stream = ? AND entries.version > ? ORDER BY entries.version"
      ),
      rowsOfAll: database.prepare(
        "SELECT position, stream, name, entries.version, count, entries.checksum, kinds, body " +
          "FROM entries JOIN streams ON streams.id = stream WHERE position > ? ORDER BY position"
      ),
      versionAt: database.prepare(
        "SELECT coalesce(max(entries.version), 0) AS version FROM entries JOIN streams ON streams.id = stream " +
          "WHERE name = ? AND position <= ?"
      ),
      streams: database.prepare(
        "SELECT name FROM streams WHERE version > 0 AND substr(name, 1, length(?1)) = ?1 ORDER BY id"
      )
    }))

    yield* attempt(() => {
      const { head, last } = statements.ends.get() as { head: number; last: number }
      if (head !== last) throw damaged(`its last event is at position ${last}, where ${head} was written`)
      for (const row of statements.allStreams.all()) {
        const { checksum, id, name } = row as unknown as { checksum: number; id: number; name: string }
        if (checksum !== checksumOfStream(id, name)) throw damaged(`stream ${id} is not named as it was`)
      }
    })
    isAccepted = true
    closeWithProcess(database, files)
    makeClaimsFolder(path)

    const findStream = (name: string): { readonly id: number; readonly version: number } | undefined =>
      (statements.findStream.get(name) ?? statements.scanStream.get(name)) as
        | { id: number; version: number }
        | undefined

    const addStream = (name: string): number => {
      const id = (statements.lastStream.get() as { id: number }).id + 1
      statements.addStream.run(id, name, checksumOfStream(id, name))
      return id
    }

    /** Whether the file may still say `closed` although its log has events. */
    let mustTellOfLog = false
    let synchronous = "FULL"
    /** `NORMAL` leaves the write-ahead log to the system; the next commit with `FULL` has all of it on the disk. */
    const setSynchronous = (level: "FULL" | "NORMAL"): void => {
      if (level !== synchronous) database.exec(`PRAGMA synchronous = ${level}`)
      synchronous = level
    }

    const appendNow = (
      stream: string,
      records: ReadonlyArray<JournalRecord>,
      { expectedVersion: expected, survives = "host" }: AppendOptions
    ): Appended => {
      setSynchronous(survives === "host" ? "FULL" : "NORMAL")
      // A large append goes into the log before it is committed.
      must(files.loss())
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
          for (const { body, count, kinds } of packEvents(records)) {
            version += count
            position += count
            const checksum = checksumOf({ position, stream: id, version, count, kinds, body })
            statements.insert.run(position, id, version, count, checksum, kinds, body)
          }
          statements.setVersion.run(version, id)
          mustTellOfLog ||= statements.guardState.get()?.["state"] !== "open"
          statements.setGuard.run(position)
        }
        must(files.displacement())
        database.exec("COMMIT")
        // The file says that the log has more, before the append is acknowledged, or as soon as no other connection prevents it.
        if (mustTellOfLog) mustTellOfLog = !bringIntoFile(database)
        must(records.length > 0 ? files.lossOf(position) : null)
        return { version, position }
      } finally {
        // After a failed commit, or a statement that ended the transaction, there is nothing to roll back.
        if (database.isOpen && database.isTransaction) database.exec("ROLLBACK")
      }
    }

    const entriesOf = (row: Row): ReadonlyArray<JournalEntry> => {
      // Damage can turn a text into bytes, which have the same checksum.
      const isText = typeof row.body === "string" && typeof row.kinds === "string"
      const records = isText && row.checksum === checksumOf(row) ? unpackEvents(row) : null
      if (records === null)
        throw damaged(`the events up to position ${row.position} differ from those that were written`)
      const before = { position: row.position - row.count, version: row.version - row.count }
      return records.map(({ json, schemaVersion, type }, index) => ({
        position: before.position + index + 1,
        stream: row.name,
        version: before.version + index + 1,
        type,
        schemaVersion,
        json
      }))
    }
    /** The first `limit` events of some rows whose place is behind `after`. */
    const take = (
      rows: Iterable<unknown>,
      place: "position" | "version",
      after: number,
      limit: number
    ): ReadonlyArray<JournalEntry> => {
      const entries: Array<JournalEntry> = []
      if (limit <= 0) return entries
      for (const row of rows) {
        for (const entry of entriesOf(row as Row)) {
          if (entry[place] <= after) continue
          if (entry[place] !== after + entries.length + 1) {
            throw damaged(`the event at ${place} ${after + entries.length + 1} is missing before ${entry[place]}`)
          }
          entries.push(entry)
          if (entries.length === limit) return entries
        }
      }
      return entries
    }

    const readStream = (stream: string, after: number, limit: number): ReadonlyArray<JournalEntry> => {
      database.exec("BEGIN")
      try {
        const known = findStream(stream)
        if (known === undefined) return []
        const entries = take(statements.rowsOfStream.iterate(known.id, after), "version", after, limit)
        const expected = Math.min(limit, Math.max(0, known.version - after))
        if (entries.length !== expected) throw damaged(`stream ${stream} lacks event ${after + entries.length + 1}`)
        return entries
      } finally {
        if (database.isOpen && database.isTransaction) database.exec("COMMIT")
      }
    }
    const readAll = (after: number, limit: number): ReadonlyArray<JournalEntry> =>
      take(statements.rowsOfAll.iterate(after), "position", after, limit)

    const shape: JournalShape = {
      ...journalClaims(path),
      append: (stream, records, appendOptions) =>
        Effect.tap(
          attempt(() => appendNow(stream, records, appendOptions ?? {})),
          () => Effect.sync(() => (records.length > 0 ? signal.raise() : undefined))
        ),
      read: (stream, readOptions) =>
        look(() => readStream(stream, readOptions?.afterVersion ?? 0, readOptions?.limit ?? Infinity)),
      readAll: (readOptions) => look(() => readAll(readOptions?.afterPosition ?? 0, readOptions?.limit ?? Infinity)),
      subscribe: (subscribeOptions) => {
        const stream = subscribeOptions?.stream
        const afterPosition = subscribeOptions?.afterPosition ?? 0
        return pagedSubscription({
          begin:
            stream === undefined
              ? Effect.succeed(afterPosition)
              : look(() => Number(statements.versionAt.get(stream, afterPosition)?.["version"] ?? 0)),
          page: (after) =>
            look(() => (stream === undefined ? readAll(after, pageSize) : readStream(stream, after, pageSize))),
          place: stream === undefined ? "position" : "version",
          afterPosition,
          signal,
          waitAtMost: (wait) => Effect.asVoid(Effect.timeoutOption(wait, poll))
        })
      },
      streams: (prefix = "") => look(() => statements.streams.all(prefix).map((row) => String(row["name"])))
    }
    return shape
  })
