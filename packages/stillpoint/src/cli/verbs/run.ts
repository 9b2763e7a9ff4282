/**
 * A command in a clone of an image.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Sandbox } from "../../sandbox/Sandbox.ts"
import { command, json } from "../arguments.ts"
import { commandIn } from "../commandIn.ts"
import { notTheCommands } from "../commandStatus.ts"
import { at, baking, env, image, memory, platform } from "../imageArguments.ts"
import { encryptionKey } from "../keys.ts"
import { progress, sandboxesWith } from "../layers.ts"

export const runCommand = Command.make(
  "run",
  { image, at, memory, platform, env, command, encryptionKey, json },
  ({ command, encryptionKey, json, ...asked }) =>
    Effect.gen(function* () {
      const sandbox = yield* Effect.provide(Effect.flatMap(baking(asked), Sandbox.create), progress(json))
      yield* commandIn(sandbox, command, json)
    }).pipe(Effect.scoped, sandboxesWith({ json, encryptionKey }), notTheCommands)
).pipe(
  Command.withDescription(
    "Run a command in a clone of an image, with standard input passed on to it; the image is captured on first use. Exits with the command's status"
  ),
  Command.withExamples([
    { command: "stillpoint run kit:httpd -- wget -q -O - http://127.0.0.1:8080/" },
    {
      command: "stillpoint run oci:./layout:latest --at pre-exec -- sh -c 'cat /etc/os-release'",
      description: "Captured before its workload starts"
    }
  ])
)
