/**
 * One command in a sandbox, from the command line.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import type { Sandbox } from "../sandbox/Sandbox.ts"
import { statusOf } from "./commandStatus.ts"
import { Ended } from "./exitCode.ts"
import { answer, write } from "./Output.ts"

/** Runs a command with its output as it comes; its exit status as a shell says it. */
const passedOn = (sandbox: Sandbox, argv: ReadonlyArray<string>) =>
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

/** Runs a command in a sandbox and ends as it ended; its output passed on, or within one line of JSON. */
export const commandIn = Effect.fnUntraced(function* (sandbox: Sandbox, argv: ReadonlyArray<string>, json: boolean) {
  if (!json) {
    const status = yield* passedOn(sandbox, argv)
    return status === 0 ? undefined : yield* Effect.fail(new Ended(status))
  }
  const result = yield* sandbox.exec(argv)
  yield* answer(true, result, [])
  const status = statusOf(result)
  if (status !== 0) return yield* Effect.fail(new Ended(status))
})
