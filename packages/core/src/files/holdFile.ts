/**
 * A lock on a file that the kernel lets go of when its owner ends.
 *
 * The lock is SQLite's, on an empty file that stays empty: a record lock (`fcntl`) on its inode. So it holds between processes
 * whatever they see of each other (containers with process ids of their own, on one volume), it ends with the process however that
 * ends, and it never outlasts a reboot. Between owners in one process, its threads included, SQLite itself keeps count, which
 * record locks alone do not. Nothing but this opens such a file: a process that closes another descriptor of it lets go.
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

/** Makes the file; one that somebody else makes at the same moment is as good. */
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
    // Whoever held it before may have removed the file meanwhile, and another one made it anew: then this lock is nobody's.
    const after = inspect(path)
    isKept = after !== null && after.ino === before.ino && after.dev === before.dev
    if (!isKept) return nothing(after === null ? "absent" : "taken")
  } finally {
    // Also where it cannot be looked at: what this process does not know that it holds, nobody would get until it ends.
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
