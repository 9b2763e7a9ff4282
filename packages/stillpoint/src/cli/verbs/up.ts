/**
 * A port of clones of an image.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { bakedOnce } from "../../sandbox/bake.ts"
import { json } from "../arguments.ts"
import { at, baking, env, image, memory, platform, workload } from "../imageArguments.ts"
import { encryptionKey } from "../keys.ts"
import { progress, sandboxesWith } from "../layers.ts"
import { perConnection, perRequest, publish, publishClones, readPublish } from "../publishing.ts"

export const upCommand = Command.make(
  "up",
  { image, at, memory, platform, env, publish, workload, perRequest, perConnection, encryptionKey, json },
  ({ encryptionKey, json, perConnection, perRequest, publish, ...asked }) =>
    Effect.gen(function* () {
      const where = yield* readPublish(publish)
      const { snapshot } = yield* Effect.provide(Effect.flatMap(baking(asked), bakedOnce), progress(json))
      return yield* publishClones(snapshot.manifest.digest, asked.image, where, { perRequest, perConnection, json })
    }).pipe(Effect.scoped, sandboxesWith({ json, encryptionKey }))
).pipe(
  Command.withDescription("Publish a port of an image until interrupted; the image is captured on first use"),
  Command.withExamples([{ command: "stillpoint up kit:httpd --publish 127.0.0.1:8080:8080 --clone-per-request" }])
)
