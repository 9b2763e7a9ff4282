/**
 * What keeps a journal and its write-ahead log together.
 *
 * ```text
 * guard  (one, id, state, head)   one row, written with every append
 *        id      random, of this journal; the checksum of every row begins with it
 *        state   open: events may be in the log alone; closed: all of them are in the file
 *        head    position of the last event
 * ```
 *
 * SQLite takes any log that lies beside a file for that file's, and a file without one for complete. So the file itself says
 * `open` before the first append after a closing is acknowledged, and `closed` only when the log has gone into it. A file that says
 * `open` and has no log beside it was copied without it; a log whose guard has another id, or an earlier head than the file's, is
 * another's. Both are looked at before a connection is made that could write.
 *
 * @module
 */
import { existsSync, statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import type { JournalReason } from "./JournalErrors.ts"

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

/** The guard as a connection sees it; `null` if there is none that is whole. */
export const readGuard = (database: DatabaseSync): Guard | null => {
  const row = database.prepare("SELECT id, state, head FROM guard").get()
  if (row === undefined) return null
  const { head, id, state } = row
  const isWhole = typeof id === "string" && /^[0-9a-f]{32}$/.test(id) && Number.isSafeInteger(head)
  return isWhole && (state === "open" || state === "closed") ? { id, state, head: Number(head) } : null
}

const lookAt = (path: string, query: string): Guard | null => {
  const location = pathToFileURL(path)
  location.search = query
  let database: DatabaseSync | undefined
  try {
    database = new DatabaseSync(location, { readOnly: true, timeout: 0 })
    return readGuard(database)
  } catch {
    return null
  } finally {
    database?.close()
  }
}

/** The guard in the file itself, whatever log lies beside it. */
const guardOfFile = (path: string): Guard | null => lookAt(path, "immutable=1")

/** The guard of the file and the log together, from a connection that changes neither. */
const guardOfBoth = (path: string): Guard | null => lookAt(path, "mode=ro")

const logOf = (path: string): string => `${path}-wal`

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0

/** How often a missing log is looked for: others may open and close the journal meanwhile. */
const looks = 4

const isLogMissing = (path: string): boolean => {
  for (let look = 0; look < looks; look++) {
    if (existsSync(logOf(path)) || guardOfFile(path)?.state !== "open" || existsSync(logOf(path))) return false
  }
  return true
}

/** Why a journal and the log beside it, or the lack of one, do not go together; `null` if they do, or there is no journal yet. */
export const logObstacle = (path: string): JournalReason | null => {
  if (sizeOf(path) === 0) return null
  if (isLogMissing(path)) return { _tag: "LogMissing", path, log: logOf(path) }
  if (sizeOf(logOf(path)) === 0) return null
  const file = guardOfFile(path)
  const both = guardOfBoth(path)
  if (file === null || both === null) return null
  // The file is read first: it can only be behind the two together.
  const detail =
    file.id !== both.id
      ? `it is of journal ${both.id}, the file of ${file.id}`
      : both.head < file.head
        ? `it ends at position ${both.head}, the file at ${file.head}`
        : null
  return detail === null ? null : { _tag: "LogForeign", path, log: logOf(path), detail }
}

/** Which files a journal consists of, as the host knows them. */
export interface FileIdentity {
  readonly path: string
  readonly device: number
  readonly inode: number
}

/** The files of an open journal. */
export const identifyFiles = (path: string): ReadonlyArray<FileIdentity> =>
  [path, logOf(path)].flatMap((each) => {
    const found = statSync(each, { throwIfNoEntry: false })
    return found === undefined ? [] : [{ path: each, device: found.dev, inode: found.ino }]
  })

/** The first file that is no longer what stands at its path. */
export const displacement = (files: ReadonlyArray<FileIdentity>): JournalReason | null => {
  for (const { device, inode, path } of files) {
    const found = statSync(path, { throwIfNoEntry: false })
    if (found === undefined) return { _tag: "Displaced", path, found: "nothing" }
    if (found.dev !== device || found.ino !== inode) return { _tag: "Displaced", path, found: "another file" }
  }
  return null
}

/** Closes a journal: once no other connection has it, the file says that everything is in it. */
export const closeJournal = (database: DatabaseSync): void => {
  try {
    database.exec("BEGIN IMMEDIATE; UPDATE guard SET state = 'closed' WHERE state <> 'closed'; COMMIT")
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // Somebody else is writing, who closes it later; or the disk is full, and the log stays.
  } finally {
    database.close()
  }
}
