/**
 * Executing a command in a guest.
 *
 * @module
 */
import { Effect, Redacted, Schema, Semaphore } from "effect"
import { contractLimits } from "../contract/contract.ts"
import type { GuestEvent } from "../GuestEvent.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import { ExecError, type ExecReason, type MachineError } from "../MachineErrors.ts"
import type { ExecResult, ExecSpec } from "../Vmm.ts"
import { awaitAgent } from "./awaitAgent.ts"
import type { AgentPort } from "./AgentPort.ts"
import { type Conversation, openConversation } from "./conversation.ts"
import { revealed, revealedEnvironment } from "./secrets.ts"

/** Bytes of standard input in one frame; a frame holds 64 KiB with everything around them. */
const stdinFrameBytes = 32 * 1024

const defaultTimeoutNanos = 60e9
const defaultOutputLimitBytes = 64 * 1024 * 1024

/** Guest time that a killed command gets to end. */
const graceNanos = 1e9

/** Guest time after which a full set of slots is tried again, if no command has ended before. */
const slotNanos = 10e6

const sigkill = 9

const text = Schema.String.check(
  Schema.makeFilter((value: string) => !value.includes("\0") || "text without zero bytes")
)

const input = Schema.Union([Schema.Uint8Array, Schema.String])

const request = Schema.Struct({
  argv: Schema.Array(text).check(Schema.isMinLength(1)),
  env: Schema.optionalKey(
    Schema.Record(
      text.check(Schema.makeFilter((key: string) => /^[^=]+$/.test(key) || "a name without `=`")),
      Schema.Union([text, Schema.Redacted(text)])
    )
  ),
  cwd: Schema.optionalKey(text),
  stdin: Schema.optionalKey(Schema.Union([input, Schema.Redacted(input)])),
  timeoutNanos: Schema.optionalKey(Schema.Natural),
  outputLimitBytes: Schema.optionalKey(Schema.Natural)
})

const decodeRequest = Schema.decodeUnknownEffect(request, { errors: "all", onExcessProperty: "error" })

const failure = (_tag: ExecReason["_tag"], message: string) => new ExecError({ reason: { _tag, message } })

/** What the events have said about one command so far. */
interface Command {
  readonly id: number
  readonly name: string
  readonly stdin: Uint8Array
  readonly isStdinSecret: boolean
  readonly outputLimitBytes: number
  readonly stdout: Array<Uint8Array>
  readonly stderr: Array<Uint8Array>
  outputBytes: number
  /** Bytes of input that were sent, and those that the command has taken. */
  sentBytes: number
  takenBytes: number
  isInputClosed: boolean
  /** Whether nothing of it runs in the guest any more, as far as is known. */
  hasEnded: boolean
  /** Whether it found no slot. */
  isTurnedAway: boolean
  result: { readonly code: number | null; readonly signal: number | null } | ExecError | undefined
}

const hear = (command: Command, event: GuestEvent): void => {
  if (event._tag === "AgentRejected" && event.reason === "ContractMismatch") {
    command.result ??= failure(
      "AgentRejected",
      `${command.name}: the agent refused (${event.reason}): ${event.message}`
    )
    return
  }
  if (event._tag === "EventsDropped" && event.kind === "ExecOutput") {
    command.result ??= failure(
      "TooMuchOutput",
      `${command.name}: expected all of its output, found ${event.count} pieces of output dropped for the guest's quota; it was ` +
        "killed: write to a file in the guest, or raise eventQuotas.ExecOutput"
    )
    return
  }
  if (!("id" in event) || event.id !== command.id) return
  switch (event._tag) {
    case "ExecOutput":
      command.outputBytes += event.data.length
      if (command.outputBytes <= command.outputLimitBytes) command[event.stream].push(event.data)
      else {
        command.result ??= failure(
          "TooMuchOutput",
          `${command.name}: expected at most ${command.outputLimitBytes} bytes of output, found more; it was killed: write to a ` +
            "file in the guest, or raise outputLimitBytes"
        )
      }
      return
    case "ExecInputTaken":
      command.takenBytes += event.bytes
      return
    case "ExecExited":
      command.hasEnded = true
      command.result ??= { code: event.code, signal: event.signal }
      return
    case "ExecFailed":
      command.hasEnded = true
      command.isTurnedAway = event.stage === "slots"
      command.result ??= failure(
        "ExecFailed",
        `${command.name}: expected a command that starts, found: ${event.stage}: ${event.message} (errno ${event.errno})`
      )
      return
    case "AgentRejected":
      // Input that a command takes no longer, having ended or closed it, is not missed by it.
      if (event.request === "ExecStdin" && (event.reason === "InputClosed" || event.reason === "CommandUnknown")) {
        command.isInputClosed = true
      } else if (event.request === "Exec" || event.request === "ExecStdin") {
        command.result ??= failure(
          "AgentRejected",
          `${command.name}: the agent refused (${event.reason}): ${event.message}`
        )
      }
      return
    default:
      return
  }
}

const concat = (parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Sends as much input as the command has room for. */
const feed = Effect.fnUntraced(function* (conversation: Conversation, command: Command) {
  const { id, isStdinSecret: isSecret, stdin } = command
  while (
    command.result === undefined &&
    !command.isInputClosed &&
    command.sentBytes < stdin.length &&
    command.sentBytes - command.takenBytes + stdinFrameBytes <= contractLimits.commandInputBytes
  ) {
    const data = stdin.subarray(command.sentBytes, command.sentBytes + stdinFrameBytes)
    command.sentBytes += data.length
    yield* conversation.send({ _tag: "ExecStdin", id, data, close: command.sentBytes === stdin.length, isSecret })
  }
})

/** Executes commands over a port: as many at once as the agent has slots for, the others in their turn. */
export const makeExecute = (port: AgentPort) => {
  const slots = Semaphore.makeUnsafe(contractLimits.commands)
  const ready = awaitAgent(port)

  /** Starts the command and lets the guest go on until it has ended, or must be ended. */
  const converse = (spec: typeof request.Type, command: Command, timeoutNanos: number) =>
    Effect.scoped(
      Effect.gen(function* () {
        const { id, name, stdin } = command
        const { env, isSecret } = revealedEnvironment(spec.env ?? {})
        const conversation = yield* openConversation(port, (event) => hear(command, event))
        const kinds = ["ExecOutput", "ExecInputTaken", "ExecExited", "ExecFailed", "AgentRejected"] as const
        const kill = conversation.send({ _tag: "ExecKill", id, signal: sigkill })
        const head = stdin.subarray(0, stdinFrameBytes)
        command.sentBytes = head.length
        const dueNanos = (yield* port.nowNanos) + timeoutNanos
        command.hasEnded = false
        yield* conversation.send({
          _tag: "Exec",
          id,
          argv: spec.argv,
          env,
          cwd: spec.cwd ?? "",
          stdin: head,
          closeStdin: head.length === stdin.length,
          isSecret: isSecret || command.isStdinSecret
        })
        const turn = yield* conversation.until({
          settled: () => command.result,
          kinds,
          dueNanos,
          meanwhile: feed(conversation, command)
        })
        if (turn._tag === "Ended") {
          command.hasEnded = true
          return yield* failure("GuestEnded", `${name}: expected its exit status, found the run ended: ${turn.how}`)
        }
        if (turn._tag === "Settled" && command.hasEnded) return
        // Nothing can wake an idle guest without input: its command will not end by itself.
        yield* kill
        command.isInputClosed = true
        yield* conversation.until({
          settled: () => command.hasEnded || undefined,
          kinds: ["ExecExited", "ExecFailed"],
          dueNanos: (yield* port.nowNanos) + graceNanos
        })
        command.hasEnded = true
        if (turn._tag === "Settled") return
        return yield* failure(
          "TimedOut",
          `${name}: expected its end within ${guestTimeInWords(timeoutNanos)} of guest time, found it still running; it was killed`
        )
      })
    )

  const killed = (command: Command) =>
    Effect.suspend(() =>
      command.hasEnded ? Effect.void : Effect.ignore(port.tell({ _tag: "ExecKill", id: command.id, signal: sigkill }))
    )

  const run = Effect.fnUntraced(function* (spec: typeof request.Type) {
    const name = spec.argv.join(" ")
    const timeoutNanos = spec.timeoutNanos ?? defaultTimeoutNanos
    yield* Effect.catchTag(ready, "AgentError", (error) =>
      failure(error.reason._tag === "Absent" ? "AgentAbsent" : "GuestEnded", `${name}: ${error.message}`)
    )
    const giveUpAt = (yield* port.nowNanos) + timeoutNanos
    const given = spec.stdin === undefined ? new Uint8Array() : revealed(spec.stdin)
    const stdin = typeof given === "string" ? new TextEncoder().encode(given) : given
    while (true) {
      const command: Command = {
        id: yield* port.nextToken(null),
        name,
        stdin,
        isStdinSecret: Redacted.isRedacted(spec.stdin),
        outputLimitBytes: spec.outputLimitBytes ?? defaultOutputLimitBytes,
        stdout: [],
        stderr: [],
        outputBytes: 0,
        sentBytes: 0,
        takenBytes: 0,
        isInputClosed: false,
        hasEnded: true,
        isTurnedAway: false,
        result: undefined
      }
      yield* converse(spec, command, timeoutNanos).pipe(Effect.onError(() => killed(command)))
      if (command.isTurnedAway && (yield* port.nowNanos) < giveUpAt) {
        yield* port.advance({ kinds: ["ExecExited"], budgetNanos: slotNanos }, Effect.sleep("1 millis"))
        continue
      }
      const { result } = command
      if (result === undefined || result instanceof ExecError) {
        return yield* result ?? failure("GuestEnded", `${name}: expected its exit status, found none`)
      }
      return {
        code: result.code,
        signal: result.signal,
        stdout: concat(command.stdout),
        stderr: concat(command.stderr)
      } satisfies ExecResult
    }
  })

  return Effect.fn("Agent.execute")(function* (spec: ExecSpec): Effect.fn.Return<ExecResult, ExecError | MachineError> {
    const checked = yield* decodeRequest(spec).pipe(
      Effect.mapError((problem) => failure("InvalidCommand", `exec: ${problem.message}`))
    )
    return yield* Semaphore.withPermit(slots, run(checked))
  })
}
