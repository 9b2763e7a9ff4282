/**
 * Checks that the files of an open journal are the ones that were opened, and hold what was written to them.
 *
 * The next process to open the journal must find every acknowledged event, and knows only the files. So each append checks,
 * before and after: are the same three files at their paths, does the log still hold its earlier commits and the new one
 * (`journalLog.ts`), does the file have the guard of this journal with no earlier head? A restarted log is right if all
 * acknowledged events were merged into the file. The guard of the file is read if its time or size has changed. Readers find
 * damage inside the file.
 *
 * @module
 */
import { spawnSync } from "node:child_process"
import { statSync } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { JournalError, type JournalReason } from "./JournalErrors.ts"
import { type Guard, guardOfFile, logOf, readGuard, sizeBytesOf } from "./journalGuard.ts"
import { followLog } from "./journalLog.ts"

/** The files of a journal, as identified by the host. */
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
 * The files of an open journal that has been written to. The shared memory is one of them: connections lock each other out
 * through it, and a process that opens the journal without it creates another one and overwrites the others' appends.
 */
const identifyFiles = (path: string): ReadonlyArray<FileIdentity> =>
  [path, logOf(path), `${path}-shm`].map((each) => ({ path: each, found: identify(each) }))

const displacementOf = (files: ReadonlyArray<FileIdentity>): JournalReason | null => {
  for (const { found: was, path } of files) {
    const found = identify(path)
    if (found === null) return { _tag: "Displaced", path, found: "nothing" }
    if (found.device !== was?.device || found.inode !== was.inode) {
      return { _tag: "Displaced", path, found: "another file" }
    }
  }
  return null
}

/**
 * A read-only connection, so that SQLite does not take any other connection for the last one; `null` if the file itself is gone
 * or empty.
 */
const openBeside = (path: string): DatabaseSync | null => {
  // The log of an empty file is deleted by who opens it.
  if (sizeBytesOf(path) === 0) return null
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

/** For how long after a change of a file another one may leave its time as it is. */
const timeGrainMillis = 12

/** The metadata of a file when its guard was read. */
interface FileLook {
  readonly sizeBytes: bigint
  readonly times: string
  readonly head: number
  /** Its time then was no newer than another change might still give it. */
  readonly isSettled: boolean
}

/** Number of attempts to read the guard of a file before it counts as missing, since another process may be writing to it. */
const looks = 4

/** Watches the content of a journal's file. */
const watchContent = (path: string, id: string) => {
  let seen: FileLook | null = null
  /** Reads the guard again, unless the file is as it was; or, where that is to be known for certain, might be another since. */
  const reason = (isCertain: boolean): JournalReason | null => {
    const { ctimeNs, mtimeMs, mtimeNs, size } = statSync(path, { bigint: true })
    const times = `${mtimeNs} ${ctimeNs}`
    if (seen !== null && (seen.isSettled || !isCertain) && seen.sizeBytes === size && seen.times === times) return null
    if (seen !== null && size < seen.sizeBytes) return { _tag: "Displaced", path, found: "less than was in it" }
    const isSettled = Math.abs(Date.now() - Number(mtimeMs)) > timeGrainMillis
    for (let look = 0; look < looks; look++) {
      const guard = guardOfFile(path)
      if (guard?.id !== id || guard.head < (seen?.head ?? 0)) continue
      seen = { sizeBytes: size, times, head: guard.head, isSettled }
      return null
    }
    return { _tag: "Displaced", path, found: "other content" }
  }
  return { reason, head: (): number => guardOfFile(path)?.head ?? 0 }
}

/** Has another process give a file its size back: closing it here would give up the locks that this one holds on it. */
const lengthen = (path: string, sizeBytes: number): void => {
  const program = "require('node:fs').truncateSync(process.argv[1], Number(process.argv[2]))"
  spawnSync(process.execPath, ["-e", program, path, String(sizeBytes)], { stdio: "ignore" })
}

/** The files of a journal that is open, watched. */
export interface StandingFiles {
  readonly path: string
  readonly files: ReadonlyArray<FileIdentity>
  /** The first file that is no longer at its path. */
  readonly displacement: () => JournalReason | null
  /** The first file that is not the one that was opened, or lacks acknowledged events. */
  readonly loss: () => JournalReason | null
  /** The same after an append up to this position, which is acknowledged if the result is `null`. */
  readonly lossOf: (position: number) => JournalReason | null
  /**
   * Throws if the shared memory was truncated: all connections map it, and a process that touches the missing part is killed.
   */
  readonly mustBeMapped: () => void
  /** Makes the shared memory as large again as it is mapped, if it was cut; gives up what watching took. */
  readonly release: () => void
}

/** Those of all journals that are open. */
const watched = new Set<StandingFiles>()

const isSame = (one: FileIdentity | undefined, other: FileIdentity | undefined): boolean =>
  one?.found?.inode === other?.found?.inode && one?.found?.device === other?.found?.device

/**
 * Watches the files of a journal that is open and has been written to; its guard is as given, on page `guardPage`. Throws where the same file is open here
 * already and has lost another: SQLite has one shared memory for all connections of a process.
 */
export const watchFiles = (path: string, { head, id }: Guard, guardPage: number): StandingFiles => {
  const files = identifyFiles(path)
  for (const other of watched) {
    const reason = isSame(other.files[0], files[0]) ? other.loss() : null
    if (reason !== null) throw new JournalError({ reason })
  }
  const shared = { path: `${path}-shm`, sizeBytes: sizeBytesOf(`${path}-shm`) }
  const log = followLog(logOf(path), guardPage)
  const content = watchContent(path, id)
  let acknowledged = head

  const isShort = (): boolean => {
    const sizeBytes = sizeBytesOf(shared.path)
    if (sizeBytes >= shared.sizeBytes) {
      shared.sizeBytes = sizeBytes
      return false
    }
    return isSame({ path: shared.path, found: identify(shared.path) }, files[2])
  }
  const cutMemory = (): JournalReason | null =>
    isShort() ? { _tag: "Displaced", path: shared.path, found: "less than was in it" } : null

  /** All that was acknowledged is in the log, or has gone into the file. */
  const logLoss = (position: number): JournalReason | null => {
    for (let look = 0; look < looks; look++) {
      if (log.holds(position) || content.head() >= position) return null
    }
    return { _tag: "Displaced", path: logOf(path), found: "less than was in it" }
  }

  const displacement = (): JournalReason | null => displacementOf(files) ?? cutMemory()
  const loss = (position: number, isCertain: boolean): JournalReason | null =>
    displacement() ?? content.reason(isCertain) ?? logLoss(position)

  const standing: StandingFiles = {
    path,
    files,
    displacement,
    loss: () => loss(acknowledged, true),
    lossOf: (position) => {
      const reason = loss(position, false)
      if (reason === null) acknowledged = position
      return reason
    },
    mustBeMapped: () => {
      const reason = cutMemory()
      if (reason !== null) throw new JournalError({ reason })
    },
    release: () => {
      if (isShort()) lengthen(shared.path, shared.sizeBytes)
      log.close()
      watched.delete(standing)
    }
  }
  try {
    const reason = loss(acknowledged, true)
    if (reason !== null) throw new JournalError({ reason })
  } catch (cause) {
    log.close()
    throw cause
  }
  watched.add(standing)
  return standing
}

/**
 * Closes a connection to a refused journal: nothing is merged from the log into the file, and the log stays. Only the last
 * connection that SQLite knows of would do that, and a read-only one cannot.
 */
export const closeUntouched = (path: string, database: DatabaseSync, standing: StandingFiles | null = null): void => {
  standing?.release()
  let beside: DatabaseSync | null = null
  try {
    if (sizeBytesOf(path) > 0) beside = new DatabaseSync(path, { readOnly: true, timeout: 0 })
    beside?.prepare("SELECT count(*) FROM sqlite_schema").get()
  } catch {
    // A file that cannot be read counts as open.
  }
  database.close()
  beside?.close()
}

/** Journals that are open, for the end of the process. */
const openJournals = new Map<StandingFiles, DatabaseSync>()

const closeAll = (): void => {
  for (const [standing, database] of openJournals) closeJournal(database, standing)
}

/**
 * Closes a journal if the process ends before its scope does. Node.js also closes the connection, but through SQLite, which takes
 * the log from others if this process has lost a file of the journal.
 */
export const closeWithProcess = (database: DatabaseSync, standing: StandingFiles): void => {
  if (openJournals.size === 0) process.on("exit", closeAll)
  openJournals.set(standing, database)
}

/**
 * Closes a journal: after the last connection, the file says that everything is in it. A journal that has lost a file is left
 * untouched, since others may be using the rest: the last connection that SQLite knows of would write its own log into the file,
 * and remove the log at the path.
 */
export const closeJournal = (database: DatabaseSync, standing: StandingFiles): void => {
  openJournals.delete(standing)
  if (openJournals.size === 0) process.off("exit", closeAll)
  const isDisplaced = standing.loss() !== null
  standing.release()
  const beside = isDisplaced ? openBeside(standing.path) : null
  try {
    if (isDisplaced) return
    database.exec("BEGIN IMMEDIATE; UPDATE guard SET state = 'closed' WHERE state <> 'closed'; COMMIT")
    database.exec("PRAGMA wal_checkpoint(FULL)")
  } catch {
    // Another connection is writing and closes it later, or the disk is full and the log stays.
  } finally {
    database.close()
    beside?.close()
  }
}
