/**
 * From a snapshot to a registry.
 *
 * @module
 */
import { Artifacts } from "@stillpoint/images"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { pushSnapshot } from "../../registry/pushSnapshot.ts"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { requireKey } from "../keys.ts"
import { namesWith } from "../layers.ts"
import { place, referenceOf, watched } from "../transferring.ts"

export const pushCommand = Command.make(
  "push",
  { reference, place, requireKey, json },
  ({ json, place, reference, requireKey }) =>
    Effect.gen(function* () {
      const pushed = yield* pushSnapshot(reference, yield* referenceOf(place), watched(json, place))
      yield* answer(json, pushed, [
        `${place}: ${mebibytes(pushed.sentBytes)} of ${mebibytes(pushed.sizeBytes)} sent` +
          (pushed.sentBytes < pushed.sizeBytes ? "; the registry had the rest" : "")
      ])
    }).pipe(Effect.provide(Artifacts.layer()), namesWith({ requireKey }))
).pipe(
  Command.withDescription(
    "Push a snapshot to a registry, as it is stored: readable there unless it is encrypted; only missing pieces are sent"
  ),
  Command.withExamples([{ command: "stillpoint push web registry.example/team/web:v1" }])
)
