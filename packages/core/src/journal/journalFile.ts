/**
 * The SQLite file of a journal: opening it, checking its form, and translating its errors.
 *
 * @module
 */
import { randomBytes } from "node:crypto"
import { accessSync, closeSync, constants, fchmodSync, mkdtempSync, openSync, rmdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { JournalError, type JournalReason } from "./JournalErrors.ts"
import { guardSchema, readFileAlone } from "./journalGuard.ts"
import { closeUntouched } from "./standingFiles.ts"
import { unfitFile } from "./unfitFiles.ts"

/** "stil": tells a journal from any other SQLite file. */
const applicationId = 0x7374696c
const formatVersion = 3
const sqlitePageBytes = 4096

const schema = (): string => `
  ${guardSchema(randomBytes(16).toString("hex"))}
  CREATE TABLE streams (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, checksum INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE entries (
    position INTEGER PRIMARY KEY, stream INTEGER NOT NULL REFERENCES streams(id), version INTEGER NOT NULL,
    count INTEGER NOT NULL, checksum INTEGER NOT NULL, kinds TEXT NOT NULL, body TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX entries_by_stream ON entries(stream, version);
  PRAGMA application_id = ${applicationId};
  PRAGMA user_version = ${formatVersion};
`

const sqlite = {
  error: 1,
  busy: 5,
  locked: 6,
  readOnly: 8,
  io: 10,
  corrupt: 11,
  full: 13,
  cannotOpen: 14,
  constraint: 19,
  notADatabase: 26
}

/** The shared-memory file beside the journal could not be made as large as it must be: an I/O error by its number. */
const noRoomForSharedMemory = sqlite.io | (19 << 8)

/** Extended result code of an SQLite error; `null` if it is not one. */
const sqliteCode = (cause: unknown): number | null =>
  typeof cause === "object" && cause !== null && "errcode" in cause && typeof cause.errcode === "number"
    ? cause.errcode
    : null

/** Whether another connection holds the requested lock, so that a retry may succeed. */
export const isBusy = (cause: unknown): boolean => {
  const code = sqliteCode(cause)
  return code !== null && ((code & 0xff) === sqlite.busy || (code & 0xff) === sqlite.locked)
}

/** The system's name for what keeps something from being done; `null` if nothing does. */
const obstacleTo = (work: () => void): string | null => {
  try {
    work()
    return null
  } catch (cause) {
    return cause instanceof Error && "code" in cause ? String(cause.code) : "unknown"
  }
}

const forbidden: ReadonlySet<string | null> = new Set(["EACCES", "EPERM", "EROFS"])
const noRoom: ReadonlySet<string | null> = new Set(["ENOSPC", "EDQUOT"])

/**
 * The first file of the journal that exists and that this user may not write. None is opened to find out, because closing it
 * would release the locks that this process holds on it through SQLite.
 */
const readOnlyAt = (path: string): JournalReason | null => {
  const isForbidden = (file: string): boolean => forbidden.has(obstacleTo(() => accessSync(file, constants.W_OK)))
  const file = [path, `${path}-wal`, `${path}-shm`].find(isForbidden)
  return file === undefined ? null : { _tag: "ReadOnly", path: file, what: "file" }
}

/**
 * The cause of SQLite's "unable to open" and "read-only". SQLite writes to the file and to others beside it, and does not say
 * which one failed, so all are probed.
 */
const obstacleAt = (path: string): JournalReason | null => {
  const readOnly = readOnlyAt(path)
  if (readOnly !== null) return readOnly
  const directory = dirname(path)
  const beside = obstacleTo(() => rmdirSync(mkdtempSync(join(directory, ".stillpoint-journal-"))))
  if (forbidden.has(beside)) return { _tag: "ReadOnly", path: directory, what: "directory" }
  return noRoom.has(beside) ? { _tag: "DiskFull", path } : null
}

/** The journal error for an exception of SQLite. */
export const reasonOf = (path: string, cause: unknown): JournalReason => {
  const detail = cause instanceof Error ? cause.message : String(cause)
  const code = sqliteCode(cause)
  if (code === noRoomForSharedMemory) return { _tag: "DiskFull", path }
  switch (code === null ? null : code & 0xff) {
    case sqlite.busy:
    case sqlite.locked:
      return { _tag: "Busy", path, waitedMillis: 0 }
    case sqlite.readOnly:
      return obstacleAt(path) ?? { _tag: "ReadOnly", path, what: "file" }
    case sqlite.cannotOpen:
      return obstacleAt(path) ?? { _tag: "Unreadable", path, detail }
    case sqlite.full:
      return { _tag: "DiskFull", path }
    case sqlite.corrupt:
    case sqlite.notADatabase:
    // The journal always issues the same statements, so missing columns or duplicate rows mean damage.
    case sqlite.error:
    case sqlite.constraint:
      return { _tag: "Corrupt", path, detail }
    default:
      return detail.includes("database is not open") ? { _tag: "Closed", path } : { _tag: "Unreadable", path, detail }
  }
}

/** Creates the file for its owner alone, whatever the umask: SQLite gives the files beside it the same mode. */
const createPrivate = (path: string): void => {
  try {
    const file = openSync(path, "wx", 0o600)
    try {
      fchmodSync(file, 0o600)
    } finally {
      closeSync(file)
    }
  } catch {
    // It exists already, or SQLite will report why it cannot be created.
  }
}

/** Opens the file, or makes it. Throws what SQLite throws, and a {@link JournalError} where it may not be written. */
export const openDatabase = (path: string, maxSizeBytes: number | undefined): DatabaseSync => {
  createPrivate(path)
  // Another process may have created it a moment ago.
  const unfit = unfitFile(path)
  if (unfit !== null) throw new JournalError({ reason: unfit })
  // SQLite would make files beside it that may be written as little, and stay so when it may be written again.
  const readOnly = readOnlyAt(path)
  if (readOnly !== null) throw new JournalError({ reason: readOnly })
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
    if (maxSizeBytes !== undefined) {
      database.exec(`PRAGMA max_page_count = ${Math.max(1, Math.floor(maxSizeBytes / sqlitePageBytes))}`)
    }
    return database
  } catch (cause) {
    closeUntouched(path, database)
    throw cause
  }
}

/**
 * Merges the log into the file; returns whether all of it is there now. SQLite does not throw if another connection still reads
 * the earlier state, or merges at the same time.
 */
export const bringIntoFile = (database: DatabaseSync): boolean =>
  database.prepare("PRAGMA wal_checkpoint(FULL)").get()?.["busy"] === 0

/** The error that SQLite throws if another connection holds a lock. */
export const busy = (): Error =>
  Object.assign(new Error("another connection is using the journal"), { errcode: sqlite.busy })

const pragma = (database: DatabaseSync, name: string): number =>
  Number(Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0])

const hasTables = (database: DatabaseSync): boolean =>
  database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get() !== undefined

/**
 * Why a database with tables is not a journal, or a journal of another build; `null` if it is one of this build, or has no
 * tables.
 */
const formatObstacle = (database: DatabaseSync, path: string): JournalReason | null => {
  if (!hasTables(database)) return null
  if (pragma(database, "application_id") !== applicationId) {
    return { _tag: "Corrupt", path, detail: "it is a database of something else" }
  }
  const found = pragma(database, "user_version")
  return found === formatVersion ? null : { _tag: "FormatUnknown", path, found, supported: formatVersion }
}

/** The same, of the file alone, before a connection is made that would bring it into write-ahead mode. */
export const fileObstacle = (path: string): JournalReason | null =>
  readFileAlone(path, (database) => formatObstacle(database, path))

/** Gives an empty file its tables; says why not if it is no journal, or one of another build's. */
export const initialise = (database: DatabaseSync, path: string): JournalReason | null => {
  database.exec("BEGIN IMMEDIATE")
  try {
    if (!hasTables(database)) database.exec(schema())
    const obstacle = formatObstacle(database, path)
    if (obstacle !== null) return obstacle
    database.exec("COMMIT")
    return null
  } finally {
    if (database.isTransaction) database.exec("ROLLBACK")
  }
}
