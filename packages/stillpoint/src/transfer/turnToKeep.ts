import { join } from "node:path"
import { SnapshotsError, StoreBusy } from "@stillpoint/core"
import { Duration, Effect } from "effect"
import { holdWithin } from "./holdWithin.ts"

/** Those before link or rename what has come already. */
const wait = { longestWait: Duration.minutes(10), betweenTries: Duration.millis(20) }

/** Waits until no other process keeps arriving snapshots in the store, and lets nobody begin until the scope closes. */
export const turnToKeep = Effect.fnUntraced(function* (home: string) {
  const path = join(home, "arrivals.lock")
  if (yield* holdWithin(path, wait)) return
  yield* new SnapshotsError({ reason: new StoreBusy({ path, waitedMillis: Duration.toMillis(wait.longestWait) }) })
})
