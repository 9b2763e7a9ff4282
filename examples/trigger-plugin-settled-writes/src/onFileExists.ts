import { existsSync } from "node:fs"
import { defineProbe } from "@stillpoint/triggers"
import { Effect, Schedule, Schema } from "effect"

/** Fires once a file exists on the host; looks every 50 ms of guest time. Its completion is a recorded signal. */
export const onFileExists = defineProbe({
  name: "settled-writes/on-file-exists",
  config: Schema.Struct({ path: Schema.NonEmptyString }),
  effect: ({ path }) =>
    Effect.suspend(() => (existsSync(path) ? Effect.succeed({ path }) : Effect.fail("not there yet"))).pipe(
      Effect.retry(Schedule.spaced("50 millis"))
    )
})
