/**
 * From an image to a snapshot.
 *
 * @module
 */
import { guestTimeInWords } from "@stillpoint/core"
import { Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { bake, usualMoment } from "../../sandbox/bake.ts"
import { answer } from "../Output.ts"
import { json, replace } from "../arguments.ts"
import { progress, sandboxes } from "../layers.ts"

export const bakeCommand = Command.make(
  "bake",
  {
    image: Argument.String("image").pipe(
      Argument.withDescription("kit:httpd, oci:FOLDER[:TAG], docker-archive:FILE or docker://REGISTRY/NAME[:TAG]")
    ),
    at: Flag.String("at").pipe(
      Flag.withDescription(`When to capture: an expression, or JSON; ${usualMoment} if absent`),
      Flag.withDefault(usualMoment)
    ),
    name: Flag.String("name").pipe(Flag.withDescription("NAME or NAME:TAG of the snapshot"), Flag.optional),
    memory: Flag.Int("memory").pipe(Flag.withDescription("Guest memory in MiB"), Flag.optional),
    replace,
    json
  },
  ({ at, image, json, memory, name, replace }) => {
    const options = {
      image,
      captureAt: at,
      replace,
      ...(Option.isSome(name) ? { name: name.value } : {}),
      ...(Option.isSome(memory) ? { memoryMib: memory.value } : {})
    }
    return bake(options).pipe(
      Effect.provide(progress(json)),
      Effect.tap((baked) =>
        answer(json, baked, [
          `${baked.name ?? baked.snapshot}: captured at ${baked.cause}, ${guestTimeInWords(baked.guestNanos)} of guest time, ` +
            `pause ${baked.pauseMs.toFixed(2)} ms, ${mebibytes(baked.storedBytes)}`,
          baked.why
        ])
      ),
      sandboxes
    )
  }
).pipe(
  Command.withDescription("Boot an image, capture it at a moment, and keep the snapshot"),
  Command.withExamples([
    {
      command: "stillpoint bake kit:httpd --at 'listener:8080 & calm 20ms | after 10s' --name web",
      description: "A web server, captured when it listens and has come to rest"
    },
    {
      command: "stillpoint bake oci:./layout:latest --at pre-exec --name job",
      description: "Before its first instruction"
    }
  ])
)
