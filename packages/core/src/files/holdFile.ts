/**
 * A lock on a file that the kernel lets go of when its owner ends.
 *
 * The lock is SQLite's, on an empty file that stays empty: a record lock (`fcntl`) on its inode. So it works between processes
 * that do not see each other (containers with their own process ids on one volume), ends with the process in any case, and never
 * outlasts a reboot. SQLite itself counts locks between owners in one process, including its threads, which record locks alone do
 * not. Nothing else may open such a file: a process that closes any other descriptor of it releases the lock.
 *
 * @module
 */
import { chmodSync, closeSync, lstatSync, openSync, type Stats } from "node:fs"
import { DatabaseSync } from "node:sqlite"
import { pathToFileURL } from "node:url"
import { Effect, type Scope } from "effect"
import type { HoldOutcome } from "./DurableFilesShape.ts"
import { FileFault, FileUnfit } from "./FileErrors.ts"
import { fileKindInWords } from "./fileKind.ts"
import { codeOf } from "./systemCode.ts"

const sqlite = { busy: 5, locked: 6, readOnly: 8, cannotOpen: 14 }

interface Held {
  readonly outcome: HoldOutcome
  readonly release: () => void
}

const nothing = (outcome: HoldOutcome): Held => ({ outcome, release: () => {} })

const inspect = (path: string): Stats | null => lstatSync(path, { throwIfNoEntry: false }) ?? null

/** Creates the file; it may exist already if another process creates it at the same moment. */
const create = (path: string): void => {
  try {
    closeSync(openSync(path, "wx", 0o600))
    chmodSync(path, 0o600)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause
  }
}

const lock = (path: string, isCreated: boolean): Held => {
  if (isCreated && inspect(path) === null) create(path)
  const before = inspect(path)
  if (before === null) return nothing("absent")
  if (!before.isFile() || before.size !== 0) {
    const found = before.isFile() ? `a file of ${before.size} bytes` : fileKindInWords(before)
    throw new FileUnfit({ path, expected: "an empty file to lock", found })
  }
  const location = pathToFileURL(path)
  location.search = "mode=rw"
  let database: DatabaseSync | null = null
  try {
    database = new DatabaseSync(location, { timeout: 0 })
    // Nothing is written: the lock is all that is wanted, and no other file beside it.
    database.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE")
  } catch (cause) {
    database?.close()
    const code = (cause as { readonly errcode?: number }).errcode ?? 0
    switch (code & 0xff) {
      case sqlite.busy:
      case sqlite.locked:
        return nothing("taken")
      case sqlite.readOnly:
        throw new FileFault({ operation: "hold", path, code: "EACCES" })
      case sqlite.cannotOpen:
        if (inspect(path) === null) return nothing("absent")
        throw new FileFault({ operation: "hold", path, code: "EACCES" })
      default:
        throw new FileFault({ operation: "hold", path, code: `lock: ${cause instanceof Error ? cause.message : code}` })
    }
  }
  const opened = database
  let isKept = false
  try {
    // The earlier holder may have removed the file meanwhile, and another process created it again; then this lock is worthless.
    const after = inspect(path)
    isKept = after !== null && after.ino === before.ino && after.dev === before.dev
    if (!isKept) return nothing(after === null ? "absent" : "taken")
  } finally {
    // Also closed if it cannot be inspected: a lock that this process does not know of would block others until the process ends.
    if (!isKept) opened.close()
  }
  return { outcome: "held", release: () => opened.close() }
}

/** Holds the empty file at `path` until the scope closes; see `DurableFiles.hold`. */
export const holdFile = (
  path: string,
  options: { readonly create: boolean }
): Effect.Effect<HoldOutcome, FileFault | FileUnfit, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.try({
        try: () => lock(path, options.create),
        catch: (cause) =>
          cause instanceof FileFault || cause instanceof FileUnfit
            ? cause
            : new FileFault({ operation: "hold", path, code: codeOf(cause) })
      }),
      ({ release }) => Effect.sync(release)
    ),
    ({ outcome }) => outcome
  )
