/**
 * Checks the journal's path and the files beside it before anything is opened.
 *
 * SQLite opens a rollback journal before it knows the file's kind, which blocks forever on a pipe; it plays a regular file into
 * the journal. And a user who created a file beforehand, or may write to it, can change what is read from it.
 *
 * @module
 */
import { lstatSync, type Stats, statSync } from "node:fs"
import { dirname } from "node:path"
import { fileKindInWords } from "../files/fileKind.ts"
import type { JournalReason } from "./JournalErrors.ts"
import { claimsOf, guardOfFile, logOf } from "./journalGuard.ts"

const lookAt = (path: string, look: (path: string) => Stats): Stats | null => {
  try {
    return look(path)
  } catch {
    // The file does not exist, or may not be inspected, and opening it will report why.
    return null
  }
}

const groupOrOthersWrite = 0o022

/**
 * Why another user could change a file of a journal; `null` if none could. The owner of the folder may replace everything in it,
 * and the superuser everything, so files of theirs add no risk. Files that others may read are accepted: copies keep the modes
 * that they were made with.
 */
const ownerObstacle = (path: string, found: Stats, folder: Stats | null): JournalReason | null => {
  const user = process.geteuid?.()
  // Without users there are no owners.
  if (user === undefined) return null
  if (![user, 0, folder?.uid].includes(found.uid)) {
    return {
      _tag: "Unfit",
      path,
      expected: `what belongs to user ${user}`,
      found: `a file of user ${found.uid}, who can change it`,
      action: "move it away, or keep the journal in a directory where no other user can create files"
    }
  }
  if (found.isSymbolicLink() || (found.mode & groupOrOthersWrite) === 0) return null
  return {
    _tag: "Unfit",
    path,
    expected: "what its owner alone may write",
    found: `mode 0${(found.mode & 0o777).toString(8)}`,
    action: "if you know what wrote to it, take that from the others (chmod go-w); else move it away"
  }
}

/** A file that is what its name says; or nothing. */
const kindObstacle = (path: string, found: Stats): JournalReason | null =>
  found.isFile()
    ? null
    : {
        _tag: "Unfit",
        path,
        expected: "a file, or nothing",
        found: fileKindInWords(found),
        action: "move it away, or keep the journal elsewhere"
      }

/** The rollback journal that SQLite would look for beside a file. */
const rollbackOf = (path: string): string => `${path}-journal`

/**
 * SQLite has a rollback journal while it makes a file, until that is in write-ahead mode, and one whose process was killed then has to
 * be rolled back. A guard gets into the file in write-ahead mode alone: from then on a rollback journal is another program's, and
 * SQLite would write over the file with it.
 */
const rollbackObstacle = (path: string, found: Stats): JournalReason | null =>
  found.isFile() && guardOfFile(path) !== null
    ? {
        _tag: "Unfit",
        path: rollbackOf(path),
        expected: "nothing, since a journal has a write-ahead log",
        found: "a rollback journal of another program",
        action: "have that program end its work on the journal, or move it away"
      }
    : null

/** The first file of a journal, existing or yet to be made, that is unfit; `null` if there is none. */
export const unfitFile = (path: string): JournalReason | null => {
  const folder = lookAt(dirname(path), statSync)
  const rollback = rollbackOf(path)
  for (const file of [path, logOf(path), `${path}-shm`, rollback]) {
    const found = lookAt(file, lstatSync)
    const reason = found && (kindObstacle(file, found) ?? ownerObstacle(file, found, folder))
    if (reason !== null) return reason
  }
  const rolled = lookAt(rollback, lstatSync)
  const reason = rolled && rollbackObstacle(path, rolled)
  if (reason !== null) return reason
  const claims = claimsOf(path)
  for (const look of [lstatSync, statSync]) {
    const found = lookAt(claims, look)
    const reason = found && ownerObstacle(claims, found, folder)
    if (reason !== null) return reason
  }
  return null
}
