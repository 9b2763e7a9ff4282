import { join } from "node:path"
import { DurableFiles, SnapshotsError, StoreBusy } from "@stillpoint/core"
import { Duration, Effect, Schedule } from "effect"

/** Maximum wait: those before link or rename what has come already. */
const longestWait = Duration.minutes(10)
const betweenTries = Duration.millis(20)

/** Waits until no other process keeps arriving snapshots in the store, and lets nobody begin until the scope closes. */
export const turnToKeep = Effect.fnUntraced(function* (home: string) {
  const files = yield* DurableFiles
  const path = join(home, "arrivals.lock")
  const held = yield* files.hold(path, { create: true }).pipe(
    Effect.repeat({
      schedule: Schedule.spaced(betweenTries),
      until: (outcome) => outcome === "held",
      times: Duration.toMillis(longestWait) / Duration.toMillis(betweenTries)
    })
  )
  if (held === "held") return
  const waitedMillis = Duration.toMillis(longestWait)
  yield* new SnapshotsError({ reason: new StoreBusy({ path, waitedMillis }) })
})
