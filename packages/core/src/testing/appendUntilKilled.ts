/**
 * A process that appends numbered events to a journal file until it is killed, telling each version once it is acknowledged.
 *
 * `node appendUntilKilled.ts PATH STREAM`
 *
 * @module
 */
import { writeSync } from "node:fs"
import { Effect } from "effect"
import { makeSqliteJournal } from "../journal/sqliteJournal.ts"
import { sampleRecord } from "./journalLaws.ts"

const [path = "", stream = ""] = process.argv.slice(2)

const appendForEver = Effect.gen(function* () {
  const journal = yield* makeSqliteJournal({ path })
  let version = (yield* journal.read(stream)).length
  while (true) {
    const batch = Array.from({ length: 1 + (version % 7) }, (_, index) => sampleRecord(version + index))
    const appended = yield* journal.append(stream, batch, { expectedVersion: version })
    version = appended.version
    writeSync(1, `${version}\n`)
  }
})

await Effect.runPromise(Effect.scoped(appendForEver))
