/**
 * A command in a clone.
 *
 * @module
 */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Sandbox } from "../../sandbox/Sandbox.ts"
import { command, json, referenceOrPlace } from "../arguments.ts"
import { commandIn } from "../commandIn.ts"
import { notTheCommands } from "../commandStatus.ts"
import { encryptionKey, requireKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"
import { toClone } from "../transferring.ts"

export const execCommand = Command.make(
  "exec",
  { reference: referenceOrPlace, command, requireKey, encryptionKey, json },
  ({ command, encryptionKey, json, reference, requireKey }) =>
    Effect.gen(function* () {
      yield* commandIn(yield* Sandbox.of(yield* toClone(reference, { rest: false })), command, json)
    }).pipe(Effect.scoped, sandboxesWith({ requireKey, encryptionKey }), notTheCommands)
).pipe(
  Command.withDescription(
    "Run a command in a fresh clone, with standard input passed on to it; exits with the command's status"
  ),
  Command.withExamples([
    { command: "stillpoint exec web -- sh -c 'hostname; cat /etc/machine-id'" },
    { command: "stillpoint exec web -- sh -c 'cat > /www/index.html; wc /www/*' < index.html" },
    {
      command: "stillpoint exec docker://registry.example/team/web:v1 -- hostname",
      description: "Fetches what the clone touches"
    },
    {
      command: "stillpoint exec web -- sleep 10 < /dev/null",
      description: "With no input, as in a loop that reads its own"
    }
  ])
)
