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
import { chmodSync, existsSync, mkdirSync, realpathSync, statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { JournalError, type JournalReason } from "./JournalErrors.ts"

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

/** The folder of the claims beside a journal: who has one was a journal. */
export const claimsOf = (path: string): string => `${path}-claims`

/** Makes that folder beside a journal that has its tables, so that a file that is cut afterwards is known to have been one. */
export const makeClaimsFolder = (path: string): void => {
  try {
    const folder = claimsOf(realpathSync(path))
    mkdirSync(folder, { mode: 0o700 })
    chmodSync(folder, 0o700)
  } catch {
    // It is there; or it cannot be made, and a claim will say why.
  }
}

/** Bytes of the beginning of any journal's file. */
const leastBytes = 100

/**
 * Why an empty file is no journal that is yet to be made: what lies beside it says that it was one, and was cut. One that another
 * process is making beside the claims of an earlier one is empty for a moment, too: whoever asks looks again.
 */
export const cutObstacle = (path: string): JournalReason | null => {
  if (!existsSync(path)) return null
  const sizeBytes = sizeOf(path)
  // Of a single byte SQLite thinks nothing, and writes over it.
  if (sizeBytes > 0 && sizeBytes < leastBytes) {
    return { _tag: "Corrupt", path, detail: `it has ${sizeBytes} bytes, fewer than any journal` }
  }
  if (sizeBytes > 0) return null
  const beside = sizeOf(logOf(path)) > 0 ? logOf(path) : [claimsOf(path)].find(existsSync)
  if (beside === undefined || sizeOf(path) > 0) return null
  const detail = `it is empty, and ${beside} beside it says that it was a journal: put back a copy of it, or remove both to begin anew`
  return { _tag: "Corrupt", path, detail }
}

/** Which files a journal consists of, as the host knows them. */
interface FileIdentity {
  readonly path: string
  /** `null`: it was gone already. */
  readonly found: { readonly device: number; readonly inode: number } | null
}

const identify = (path: string): FileIdentity["found"] => {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? null : { device: found.dev, inode: found.ino }
}

/**
 * The files of a journal that is open and has been written to. The shared memory is one of them: connections lock each other out
 * by it, and whoever opens the journal without it makes another, and writes over what the others append.
 */
const identifyFiles = (path: string): ReadonlyArray<FileIdentity> =>
  [path, logOf(path), `${path}-shm`].map((each) => ({ path: each, found: identify(each) }))

const displacement = (files: ReadonlyArray<FileIdentity>): JournalReason | null => {
  for (const { found: was, path } of files) {
    const found = identify(path)
    if (found === null) return { _tag: "Displaced", path, found: "nothing" }
    if (found.device !== was?.device || found.inode !== was.inode) {
      return { _tag: "Displaced", path, found: "another file" }
    }
  }
  return null
}

/** A connection that only reads, which cannot be the last one that SQLite knows of; `null` where the file itself has gone. */
const openBeside = (path: string): DatabaseSync | null => {
  let beside: DatabaseSync | null = null
  try {
    beside = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    readGuard(beside)
    return beside
  } catch {
    beside?.close()
    return null
  }
}

/** The files of a journal that is open, watched. */
export interface StandingFiles {
  readonly path: string
  readonly files: ReadonlyArray<FileIdentity>
  /** The first file that is no longer what stands at its path. */
  readonly displacement: () => JournalReason | null
}

/** Those of all journals that are open. */
const watched = new Set<StandingFiles>()

const isSame = (one: FileIdentity | undefined, other: FileIdentity | undefined): boolean =>
  one?.found?.inode === other?.found?.inode && one?.found?.device === other?.found?.device

/**
 * Watches the files of a journal that is open and has been written to. Throws where the same file is open here already and has lost
 * another: SQLite has one shared memory for all connections of a process.
 */
export const watchFiles = (path: string): StandingFiles => {
  const files = identifyFiles(path)
  for (const other of watched) {
    const reason = isSame(other.files[0], files[0]) ? other.displacement() : null
    if (reason !== null) throw new JournalError({ reason })
  }
  const standing: StandingFiles = { path, files, displacement: () => displacement(files) }
  watched.add(standing)
  return standing
}

/** Journals that are open, for the end of the process. */
const openJournals = new Map<StandingFiles, DatabaseSync>()

const closeAll = (): void => {
  for (const [standing, database] of openJournals) closeJournal(database, standing)
}

/**
 * Has a journal closed with the process, if it ends by itself before its scope does: Node.js closes a connection too, but as SQLite
 * closes one, which takes the log from others where this process has lost a file of the journal.
 */
export const closeWithProcess = (database: DatabaseSync, standing: StandingFiles): void => {
  if (openJournals.size === 0) process.on("exit", closeAll)
  openJournals.set(standing, database)
}

/**
 * Closes a journal: once no other connection has it, the file says that everything is in it. One that has lost a file is left as it
 * is, since others may be at work on the rest: the last connection that SQLite knows of would write its own log into the file, and
 * remove the log that stands there.
 */
export const closeJournal = (database: DatabaseSync, standing: StandingFiles): void => {
  openJournals.delete(standing)
  if (openJournals.size === 0) process.off("exit", closeAll)
  const isDisplaced = standing.displacement() !== null
  const beside = isDisplaced ? openBeside(standing.path) : null
  try {
    if (isDisplaced) return
    database.exec("BEGIN IMMEDIATE; UPDATE guard SET state = 'closed' WHERE state <> 'closed'; COMMIT")
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // Somebody else is writing, who closes it later; or the disk is full, and the log stays.
  } finally {
    database.close()
    beside?.close()
    watched.delete(standing)
  }
}
