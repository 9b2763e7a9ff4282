/**
 * A port of clones of a snapshot.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { json, referenceOrPlace } from "../arguments.ts"
import { encryptionKey, requireKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"
import { perConnection, perRequest, publish, publishClones, readPublish } from "../publishing.ts"

export const serveCommand = Command.make(
  "serve",
  { reference: referenceOrPlace, publish, perRequest, perConnection, requireKey, encryptionKey, json },
  ({ encryptionKey, publish, reference, requireKey, ...how }) =>
    Effect.gen(function* () {
      return yield* publishClones(reference, reference, yield* readPublish(publish), how)
    }).pipe(Effect.scoped, sandboxesWith({ requireKey, encryptionKey }))
).pipe(
  Command.withDescription(
    "Publish a port until interrupted, served by one shared clone or by a fresh clone per request"
  ),
  Command.withExamples([
    { command: "stillpoint serve web --publish 127.0.0.1:8080:8080 --clone-per-request" },
    { command: "stillpoint serve web --publish 8080:8080", description: "All clients share one clone" },
    { command: "stillpoint serve dns --publish 127.0.0.1:5353:53/udp", description: "Publish a UDP port" }
  ])
)
