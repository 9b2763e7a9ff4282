/**
 * A process that appends numbered events to a journal file until it is killed, telling each version once it is acknowledged.
 *
 * `node appendUntilKilled.ts STREAM`; it prints `ready` when it is loaded, and begins when it reads the journal's path from
 * its standard input. Other processes may append to the same stream at the same time.
 *
 * @module
 */
import { readSync, writeSync } from "node:fs"
import { Effect } from "effect"
import { makeSqliteJournal } from "../journal/sqliteJournal.ts"
import { numberedBatch } from "./numberedBatch.ts"

const [stream = ""] = process.argv.slice(2)

const appendForEver = Effect.fnUntraced(function* (path: string) {
  const journal = yield* makeSqliteJournal({ path })
  const head = Effect.map(journal.append(stream, []), ({ version }) => version)
  let version = yield* head
  while (true) {
    const appended = yield* Effect.result(journal.append(stream, numberedBatch(version), { expectedVersion: version }))
    if (appended._tag === "Success") {
      version = appended.success.version
      writeSync(1, `${version}\n`)
    } else if (appended.failure.reason._tag === "VersionConflict") version = appended.failure.reason.found
    else return yield* appended.failure
  }
})

writeSync(1, "ready\n")
const told = Buffer.alloc(4096)
const path = told.toString("utf8", 0, readSync(0, told))
// An empty path: the parent process is gone.
if (path !== "") await Effect.runPromise(Effect.scoped(appendForEver(path)))
