/**
 * A process that opens the journal at a path, appends three events, prints `open`, and ends by `process.exit` on request: the
 * journal's scope is never closed.
 *
 * `node appendAndExit.ts PATH`
 *
 * @module
 */
import { readSync, writeSync } from "node:fs"
import { Effect, Scope } from "effect"
import { makeSqliteJournal } from "../journal/sqliteJournal.ts"
import { numberedBatch } from "./numberedBatch.ts"

const [path = ""] = process.argv.slice(2)
const scope = await Effect.runPromise(Scope.make())
const journal = await Effect.runPromise(Scope.provide(makeSqliteJournal({ path }), scope))
for (let version = 0; version < 3; version++) {
  await Effect.runPromise(journal.append("s", numberedBatch(version).slice(0, 1)))
}
writeSync(1, "open\n")
readSync(0, Buffer.alloc(16))
process.exit(0)
