/**
 * The guard that keeps a journal and its write-ahead log together.
 *
 * ```text
 * guard  (one, id, state, head)   one row, written with every append
 *        id      random, of this journal; the checksum of every row begins with it
 *        state   open: events may be in the log alone; closed: all of them are in the file
 *        head    position of the last event
 * ```
 *
 * SQLite accepts any log beside a file as that file's log, and a file without one as complete. So the file itself says `open`
 * before the first append after a close is acknowledged, and `closed` only once the log was merged into it. A file that says
 * `open` and has no log was copied without it; a log whose guard has another id, or an earlier head than the file's, belongs to
 * another journal. Both are checked before any connection that could write.
 *
 * @module
 */
import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import type { JournalReason } from "./JournalErrors.ts"
import { beginsAsLog } from "./journalLog.ts"

/** The row of the guard. */
export interface Guard {
  readonly id: string
  readonly state: "open" | "closed"
  readonly head: number
}

/** Text of the statements that make a guard. */
export const guardSchema = (id: string): string => `
  CREATE TABLE guard (
    one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, state TEXT NOT NULL, head INTEGER NOT NULL
  ) STRICT;
  INSERT INTO guard VALUES (1, '${id}', 'closed', 0);
`

/** The guard as a connection sees it; `null` if there is no complete one. */
export const readGuard = (database: DatabaseSync): Guard | null => {
  const row = database.prepare("SELECT id, state, head FROM guard").get()
  if (row === undefined) return null
  const { head, id, state } = row
  const isWhole = typeof id === "string" && /^[0-9a-f]{32}$/.test(id) && Number.isSafeInteger(head)
  return isWhole && (state === "open" || state === "closed") ? { id, state, head: Number(head) } : null
}

/** On which page of the file the row of the guard is: the only one of its table. */
export const guardPageOf = (database: DatabaseSync): number =>
  Number(database.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'guard'").get()?.["rootpage"])

/** The result of a query on a read-only connection; `null` if the file cannot be read. */
const lookAt = <A>(path: string, query: string, read: (database: DatabaseSync) => A): A | null => {
  const location = pathToFileURL(path)
  location.search = query
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(location, { readOnly: true, timeout: 0, defensive: false })
    // While a log goes into its file, the file is shorter than it says: SQLite takes that for damage, but for who says this.
    database.exec("PRAGMA writable_schema = ON")
    return read(database)
  } catch {
    return null
  } finally {
    database?.close()
  }
}

/** The guard in the file itself, ignoring any log beside it. */
export const guardOfFile = (path: string): Guard | null => lookAt(path, "immutable=1", readGuard)

/** The content of the file itself, ignoring any log beside it; `null` if it cannot be read. */
export const readFileAlone = <A>(path: string, read: (database: DatabaseSync) => A): A | null =>
  sizeBytesOf(path) === 0 ? null : lookAt(path, "immutable=1", read)

/** The guard of the file and the log together, from a connection that changes neither. */
const guardOfBoth = (path: string): Guard | null => lookAt(path, "mode=ro", readGuard)

export const logOf = (path: string): string => `${path}-wal`

export const sizeBytesOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** Number of attempts to find a missing log: others may open and close the journal meanwhile. */
const looks = 4

/**
 * Whether the file says that events are in a log that is missing or empty. That cannot happen while a journal is in use, since
 * only the last connection empties the log.
 */
const isLogMissing = (path: string): boolean => {
  for (let look = 0; look < looks; look++) {
    if (sizeBytesOf(logOf(path)) > 0 || guardOfFile(path)?.state !== "open" || sizeBytesOf(logOf(path)) > 0)
      return false
  }
  return true
}

/**
 * Whether the file lacks the guard that the log contains: it is in the file before the first append is acknowledged. Another
 * process may be creating the journal meanwhile.
 */
const isGuardLost = (path: string, both: Guard): boolean => {
  if (both.state === "closed" && both.head === 0) return false
  for (let look = 0; look < looks; look++) {
    if (guardOfFile(path) !== null) return false
  }
  return true
}

/** Why a journal does not match the log beside it, or the lack of one; `null` if it does, or does not exist yet. */
export const logObstacle = (path: string): JournalReason | null => {
  if (sizeBytesOf(path) === 0) return null
  if (isLogMissing(path)) return { _tag: "LogMissing", path, log: logOf(path) }
  if (sizeBytesOf(logOf(path)) === 0) return null
  const file = guardOfFile(path)
  const both = guardOfBoth(path)
  if (both === null) return null
  if (file === null) return isGuardLost(path, both) ? { _tag: "Displaced", path, found: "other content" } : null
  if (file.state === "open" && !beginsAsLog(logOf(path)) && guardOfFile(path)?.state === "open") {
    return { _tag: "LogForeign", path, log: logOf(path), detail: "it does not begin as one" }
  }
  // The file is read first: it can only be behind the two together.
  const detail =
    file.id !== both.id
      ? `it is of journal ${both.id}, the file of ${file.id}`
      : both.head < file.head
        ? `it ends at position ${both.head}, the file at ${file.head}`
        : null
  return detail === null ? null : { _tag: "LogForeign", path, log: logOf(path), detail }
}

/** The folder of the claims beside a journal; a file with such a folder was a journal. */
export const claimsOf = (path: string): string => `${path}-claims`

/** Makes that folder beside a journal that has its tables, so that a file that is cut afterwards is known to have been one. */
export const makeClaimsFolder = (path: string): void => {
  try {
    const folder = claimsOf(realpathSync(path))
    mkdirSync(folder, { mode: 0o700 })
    chmodSync(folder, 0o700)
  } catch {
    // It exists already, or it cannot be made, and a claim will report why.
  }
}

/** Bytes of the beginning of any journal's file. */
const leastBytes = 100

/**
 * Why an empty file is a truncated journal and not a new one: the files beside it show that it was one. A journal that another
 * process creates beside old claims is also empty for a moment, so the caller checks again.
 */
export const cutObstacle = (path: string): JournalReason | null => {
  if (!existsSync(path)) return null
  const sizeBytes = sizeBytesOf(path)
  // Of a single byte SQLite thinks nothing, and writes over it.
  if (sizeBytes > 0 && sizeBytes < leastBytes) {
    return { _tag: "Corrupt", path, detail: `it has ${sizeBytes} bytes, fewer than any journal` }
  }
  if (sizeBytes > 0) return null
  const beside = sizeBytesOf(logOf(path)) > 0 ? logOf(path) : [claimsOf(path)].find(existsSync)
  if (beside === undefined || sizeBytesOf(path) > 0) return null
  const detail = `it is empty, and ${beside} beside it shows that it was a journal: restore a copy of it, or remove both to start again`
  return { _tag: "Corrupt", path, detail }
}
