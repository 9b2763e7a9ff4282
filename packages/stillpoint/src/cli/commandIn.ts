/**
 * One command in a sandbox, from the command line.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import type { Sandbox } from "../sandbox/Sandbox.ts"
import { ArgumentInvalid } from "./ArgumentInvalid.ts"
import { statusOf } from "./commandStatus.ts"
import { Ended } from "./exitCode.ts"
import { answer, write } from "./Output.ts"
import { inputOf, requireReadableInput } from "./standardInput.ts"

type Taken<E> = (stream: "stdout" | "stderr", bytes: Uint8Array) => Effect.Effect<void, E>

/** Runs a command with this process's input, and gives its output on as it comes. */
const ran = <E>(sandbox: Sandbox, argv: ReadonlyArray<string>, taken: Taken<E>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const process_ = yield* sandbox.spawn({ argv, pace: "asFastAsPossible" })
      let isInputCut = false
      const input = inputOf(process_, () => (isInputCut = true))
      // The command's end does not wait for the end of its input.
      yield* Effect.forkScoped(Effect.ignore(input))
      yield* Effect.all(
        (["stdout", "stderr"] as const).map((stream) =>
          Stream.runForEach(process_[stream], (bytes) => taken(stream, bytes))
        ),
        { concurrency: "unbounded" }
      )
      return { ...(yield* process_.exit), isInputCut }
    })
  )

/** Maximum output of a command within one line of JSON, bytes. */
const mostJsonBytes = 64 << 20

/** The result of a command, with its output as text. */
const resultOf = Effect.fnUntraced(function* (sandbox: Sandbox, argv: ReadonlyArray<string>) {
  const output = { stdout: [] as Array<Uint8Array>, stderr: [] as Array<Uint8Array> }
  let outputBytes = 0
  const { isInputCut, ...ended } = yield* ran(sandbox, argv, (stream, bytes) =>
    Effect.suspend(() => {
      outputBytes += bytes.length
      output[stream].push(bytes)
      return outputBytes <= mostJsonBytes
        ? Effect.void
        : new ArgumentInvalid({
            argument: "--json",
            expected: `at most ${mostJsonBytes} bytes of output`,
            found: "more; without --json it is passed on as it comes"
          })
    })
  )
  const text = (pieces: ReadonlyArray<Uint8Array>): string => Buffer.concat(pieces).toString("utf8")
  return { isInputCut, result: { ...ended, stdout: text(output.stdout), stderr: text(output.stderr) } }
})

/** Runs a command in a sandbox and ends as it ended; its output passed on, or within one line of JSON. */
export const commandIn = Effect.fnUntraced(function* (sandbox: Sandbox, argv: ReadonlyArray<string>, json: boolean) {
  yield* requireReadableInput
  const ended = json
    ? yield* Effect.tap(resultOf(sandbox, argv), ({ result }) => answer(true, result, []))
    : yield* Effect.map(
        ran(sandbox, argv, (stream, bytes) => write(process[stream], bytes)),
        ({ isInputCut, ...result }) => ({ isInputCut, result })
      )
  const status = statusOf(ended.result)
  if (status !== 0) return yield* Effect.fail(new Ended(status))
  // A part of the input must not look like all of it.
  if (ended.isInputCut) return yield* Effect.fail(new Ended(125))
})
