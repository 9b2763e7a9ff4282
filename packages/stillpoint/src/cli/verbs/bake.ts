/**
 * From an image to a snapshot.
 *
 * @module
 */
import { guestTimeInWords } from "@stillpoint/core"
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { bake } from "../../sandbox/bake.ts"
import { answer } from "../Output.ts"
import { json, replace } from "../arguments.ts"
import { at, baking, env, image, memory, platform, workload } from "../imageArguments.ts"
import { encryptionKey, signKey } from "../keys.ts"
import { progress, sandboxesWith } from "../layers.ts"

export const bakeCommand = Command.make(
  "bake",
  {
    image,
    at,
    memory,
    platform,
    env,
    workload,
    name: Flag.String("name").pipe(Flag.withDescription("Name for the snapshot: NAME or NAME:TAG"), Flag.optional),
    replace,
    validate: Flag.String("validate").pipe(
      Flag.withDescription(
        "A command, run by sh in a clone, that must succeed before the snapshot is stored; the report then has its working set"
      ),
      Flag.optional
    ),
    signKey,
    encryptionKey,
    json
  },
  ({ encryptionKey, json, name, replace, signKey, validate, ...asked }) =>
    baking(asked).pipe(
      Effect.flatMap((options) =>
        bake({
          ...options,
          replace,
          ...(Option.isSome(name) ? { name: name.value } : {}),
          ...(Option.isSome(validate) ? { validate: validate.value } : {})
        })
      ),
      Effect.provide(progress(json)),
      Effect.tap((baked) =>
        answer(json, baked, [
          `${baked.name ?? baked.snapshot}: captured at ${baked.cause}, ${guestTimeInWords(baked.guestNanos)} of guest time, ` +
            `pause ${baked.pauseMs.toFixed(2)} ms, ${mebibytes(baked.storedBytes)}`,
          baked.why
        ])
      ),
      sandboxesWith({ json, signKey, encryptionKey })
    )
).pipe(
  Command.withDescription("Boot an image, capture it at the given moment, and store the snapshot"),
  Command.withExamples([
    {
      command: "stillpoint bake kit:httpd --at 'listener:8080 & calm 20ms | after 10s' --name web",
      description: "A web server, captured once it listens and has gone quiet"
    },
    {
      command: "stillpoint bake kit:httpd --name web --validate 'wget -q -O - http://127.0.0.1:8080/'",
      description: "Stored only if a clone of it answers"
    },
    {
      command: "stillpoint bake oci:./layout:latest --at pre-exec --name job",
      description: "Captured before its first instruction"
    },
    {
      command:
        "stillpoint bake docker://127.0.0.1:5000/python --at listener:8000 --env MODE=test -- python3 -m http.server 8000",
      description: "Another program of the image"
    },
    {
      command: "stillpoint bake kit:httpd --at ./policy.ts",
      description: "Captured by the policy that the file exports as its default"
    }
  ])
)
