/** Guest events appended to a journal file in batches, beside the same rows put into SQLite by hand. */
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { type GuestEvent, guestRecordOf, Journal } from "@stillpoint/core"
import { Effect } from "effect"
import { measure, stopwatch } from "./measure.ts"
import { finish, row } from "./row.ts"

const count = 100_000
const batch = 1_000

const events: ReadonlyArray<GuestEvent> = Array.from({ length: count }, (_, seq): GuestEvent => {
  const at = { seq, atNanos: seq * 1_000 }
  if (seq % 4 === 0)
    return {
      _tag: "SerialLine",
      ...at,
      port: 0,
      text: `[    0.${seq}] some line of a kernel's log, neither short nor long`
    }
  return seq % 4 === 1
    ? { _tag: "GuestIdle", ...at }
    : seq % 4 === 2
      ? { _tag: "GuestBusy", ...at }
      : { _tag: "PagesDirtied", ...at, count: 17 }
})

const ours = (path: string): Promise<number> =>
  Effect.runPromise(
    Effect.gen(function* () {
      const journal = yield* Journal
      const passed = stopwatch()
      for (let from = 0; from < count; from += batch) {
        yield* journal.append("guest/bench", events.slice(from, from + batch).map(guestRecordOf))
      }
      return (count * 1_000) / passed()
    }).pipe(Effect.provide(Journal.layerSqlite({ path }), { local: true }))
  )

const byHand = (path: string): number => {
  const database = new DatabaseSync(path)
  database.exec(
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE events (seq INTEGER PRIMARY KEY, type TEXT, json TEXT)"
  )
  const insert = database.prepare("INSERT INTO events (seq, type, json) VALUES (?, ?, ?)")
  const passed = stopwatch()
  for (let from = 0; from < count; from += batch) {
    database.exec("BEGIN IMMEDIATE")
    for (const event of events.slice(from, from + batch)) insert.run(event.seq, event._tag, JSON.stringify(event))
    database.exec("COMMIT")
  }
  const rate = (count * 1_000) / passed()
  database.close()
  return rate
}

const directory = await mkdtemp(join(tmpdir(), "stillpoint-bench-"))
let file = 0
const [value, peerValue] = await measure([
  () => ours(join(directory, `ours-${file++}`)),
  () => byHand(join(directory, `peer-${file++}`))
])
await rm(directory, { recursive: true, force: true })
finish([row("journal-append", "events/s", value, { peer: "SQLite inserts by hand", peerValue, better: "more" })])
