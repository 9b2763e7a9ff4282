import { DurableFiles } from "@stillpoint/core"
import { Duration, Effect, Schedule } from "effect"

/** Tries to hold the lock at `path`, which is made, until the scope closes; whether it was free within the longest wait. */
export const holdWithin = Effect.fnUntraced(function* (
  path: string,
  { betweenTries, longestWait }: { readonly betweenTries: Duration.Duration; readonly longestWait: Duration.Duration }
) {
  const files = yield* DurableFiles
  const held = yield* files.hold(path, { create: true }).pipe(
    Effect.repeat({
      schedule: Schedule.spaced(betweenTries),
      until: (outcome) => outcome === "held",
      times: Duration.toMillis(longestWait) / Duration.toMillis(betweenTries)
    })
  )
  return held === "held"
})
