/**
 * Executing a command in a guest and waiting for its end.
 *
 * @module
 */
import { Effect, Redacted } from "effect"
import { guestEndInWords } from "../GuestEnd.ts"
import { contractLimits } from "../contract/contract.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import type { ExecResult, ExecSpec } from "../Vmm.ts"
import { checkedExec, execError } from "./commandRequest.ts"
import { revealed } from "./secrets.ts"
import { type Command, commandKinds, type makeStartCommand } from "./startCommand.ts"

/** Bytes of standard input in one frame; a frame holds 64 KiB with everything around them. */
export const stdinFrameBytes = 60 * 1024

const defaultTimeoutNanos = 60e9
const defaultOutputLimitBytes = 64 * 1024 * 1024

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Sends as much input as the command has room for; `sent` bytes have been sent before. */
const makeFeed = (
  command: Command,
  stdin: Uint8Array,
  isSecret: boolean,
  sent: number
): Effect.Effect<void, MachineError> => {
  let sentBytes = sent
  return Effect.gen(function* () {
    while (
      command.end() === undefined &&
      !command.isInputClosed() &&
      sentBytes < stdin.length &&
      sentBytes - command.takenBytes() + stdinFrameBytes <= contractLimits.commandInputBytes
    ) {
      const data = stdin.subarray(sentBytes, sentBytes + stdinFrameBytes)
      sentBytes += data.length
      const close = sentBytes === stdin.length
      yield* command.conversation.send({ _tag: "ExecStdin", id: command.id, data, close, isSecret })
    }
  })
}

/** Executes commands that are started so. */
export const makeExecute = (start: ReturnType<typeof makeStartCommand>) =>
  Effect.fn("Agent.execute")(function* (spec: ExecSpec): Effect.fn.Return<ExecResult, ExecError | MachineError> {
    const checked = yield* checkedExec(spec)
    const timeoutNanos = checked.timeoutNanos ?? defaultTimeoutNanos
    const limitBytes = checked.outputLimitBytes ?? defaultOutputLimitBytes
    const given = checked.stdin === undefined ? new Uint8Array() : revealed(checked.stdin)
    const stdin = typeof given === "string" ? new TextEncoder().encode(given) : given
    const isStdinSecret = Redacted.isRedacted(checked.stdin)
    const output = { stdout: [] as Array<Uint8Array>, stderr: [] as Array<Uint8Array> }
    let outputBytes = 0
    const head = stdin.subarray(0, contractLimits.commandMuchBytes)
    return yield* Effect.scoped(
      Effect.gen(function* () {
        const command = yield* start(
          {
            ...checked,
            stdin: head,
            closeStdin: head.length === stdin.length,
            isStdinSecret,
            // One byte over the limit stops the guest, so it produces no output that no one would read.
            outputBytes: limitBytes + 1,
            isFileService: false,
            patienceNanos: timeoutNanos
          },
          {
            output: ({ data, stream }) => {
              outputBytes += data.length
              if (outputBytes <= limitBytes) output[stream].push(data)
            }
          }
        )
        const { conversation, name } = command
        const isTooMuch = () => outputBytes > limitBytes || undefined
        const isFed = stdin.length > contractLimits.commandInputBytes
        const dueNanos = command.sentAtNanos + timeoutNanos
        if (stdin.length > head.length) yield* command.firstTaken(dueNanos)
        const turn = yield* conversation.until({
          settled: () => isTooMuch() ?? command.end(),
          kinds: isFed ? [...commandKinds, "ExecInputTaken"] : commandKinds,
          dueNanos,
          meanwhile: makeFeed(command, stdin, isStdinSecret, head.length)
        })
        const end = command.end()
        if (turn._tag === "Ended") {
          command.abandon()
          return yield* execError(
            "GuestEnded",
            `${name}: expected its exit status, found the run ended: ${guestEndInWords(turn)}`
          )
        }
        // Nothing can wake an idle guest without input, so its command will not end.
        yield* command.kill
        if (isTooMuch()) {
          return yield* execError(
            "TooMuchOutput",
            `${name}: expected at most ${limitBytes} bytes of output, found more; it was killed: write to a file in the guest, read ` +
              "what spawn gives while it comes, or raise outputLimitBytes"
          )
        }
        if (end === undefined) {
          return yield* execError(
            "TimedOut",
            `${name}: expected its end within ${guestTimeInWords(timeoutNanos)} of guest time, found it still running; it was killed`
          )
        }
        if ("_tag" in end) return yield* end
        return { ...end, stdout: concat(output.stdout), stderr: concat(output.stderr) } satisfies ExecResult
      })
    )
  })
