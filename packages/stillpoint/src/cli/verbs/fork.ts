/**
 * A command in several clones.
 *
 * @module
 */
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Sandbox } from "../../sandbox/Sandbox.ts"
import { ArgumentInvalid } from "../ArgumentInvalid.ts"
import { answer, write } from "../Output.ts"
import { command, json, reference } from "../arguments.ts"
import { notTheCommands, statusOf } from "../commandStatus.ts"
import { Ended } from "../exitCode.ts"
import { encryptionKey, requireKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"

const mostClones = 1000

export const forkCommand = Command.make(
  "fork",
  {
    reference,
    count: Flag.Int("count").pipe(Flag.withDescription("Number of clones (default: 2)"), Flag.withDefault(2)),
    command,
    requireKey,
    encryptionKey,
    json
  },
  ({ command, count, encryptionKey, json, reference, requireKey }) =>
    Effect.gen(function* () {
      if (count < 1 || count > mostClones) {
        return yield* new ArgumentInvalid({ argument: "--count", expected: `1 to ${mostClones}`, found: String(count) })
      }
      const original = yield* Sandbox.of(reference)
      const statuses: Array<number> = []
      const clones: Array<unknown> = []
      for (let index = 0; index < count; index++) {
        const [clone] = yield* original.fork(1)
        if (clone === undefined) continue
        const result = yield* clone.exec(command)
        statuses.push(statusOf(result))
        if (json) clones.push({ index, ...result })
        else {
          yield* write(process.stdout, result.stdout)
          yield* write(process.stderr, result.stderr)
        }
      }
      if (json) yield* answer(true, { clones }, [])
      const failed = statuses.find((status) => status !== 0)
      if (failed !== undefined) return yield* Effect.fail(new Ended(failed))
    }).pipe(Effect.scoped, sandboxesWith({ requireKey, encryptionKey }), notTheCommands)
).pipe(
  Command.withDescription(
    "Run a command in several clones, one after another, without input; exits with the first status that is not 0"
  ),
  Command.withExamples([{ command: "stillpoint fork web --count 3 -- cat /proc/sys/kernel/random/uuid" }])
)
