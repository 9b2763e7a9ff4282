/**
 * A command in a clone.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import { Command } from "effect/cli"
import { Sandbox } from "../../sandbox/Sandbox.ts"
import { answer, write } from "../Output.ts"
import { command, json, reference } from "../arguments.ts"
import { notTheCommands, statusOf } from "../commandStatus.ts"
import { Ended } from "../exitCode.ts"
import { sandboxes } from "../layers.ts"

/** Runs a command in a sandbox with its output as it comes; its exit status as a shell says it. */
const runIn = (sandbox: Sandbox, argv: ReadonlyArray<string>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const process_ = yield* sandbox.spawn({ argv, pace: "asFastAsPossible" })
      yield* process_.endInput
      yield* Effect.all(
        [
          Stream.runForEach(process_.stdout, (bytes) => write(process.stdout, bytes)),
          Stream.runForEach(process_.stderr, (bytes) => write(process.stderr, bytes))
        ],
        { concurrency: "unbounded" }
      )
      return statusOf(yield* process_.exit)
    })
  )

export const execCommand = Command.make("exec", { reference, command, json }, ({ command, json, reference }) =>
  Effect.gen(function* () {
    const sandbox = yield* Sandbox.of(reference)
    if (!json) {
      const status = yield* runIn(sandbox, command)
      return status === 0 ? undefined : yield* Effect.fail(new Ended(status))
    }
    const result = yield* sandbox.exec(command)
    yield* answer(true, result, [])
    const status = statusOf(result)
    if (status !== 0) return yield* Effect.fail(new Ended(status))
  }).pipe(Effect.scoped, sandboxes, notTheCommands)
).pipe(
  Command.withDescription("Run a command in a clone of its own; ends with the command's exit status"),
  Command.withExamples([{ command: "stillpoint exec web -- sh -c 'hostname; cat /etc/machine-id'" }])
)
