/**
 * Executing a command in a guest: a conversation of frames and events with the agent.
 *
 * @module
 */
import {
  ExecError,
  type ExecReason,
  type ExecResult,
  type ExecSpec,
  type GuestEvent,
  type GuestEventOf,
  type MachineError,
  type MachineStop,
  type MachineUntil
} from "@stillpoint/core"
import { Effect, Schema } from "effect"
import type { Observable } from "rxjs"

/** Bytes of standard input in one frame; a frame holds 64 KiB with everything around them. */
const stdinFrameBytes = 32 * 1024

/** Output that is collected before the command is taken for one that never stops printing. */
const mostOutputBytes = 64 * 1024 * 1024

const defaultTimeoutNanos = 60_000_000_000

/** Guest time that a killed command gets to end. */
const graceNanos = 1_000_000_000

const sigkill = 9

/** Ways in which a run ends that no further run of the same machine can follow, or that somebody asked for. */
const ended: ReadonlySet<MachineStop["reason"]> = new Set(["halted", "reset", "fault", "paused", "horizon"])

/**
 * Whether a refusal is the end of this command. A refusal names the command that it is about, if it got as far; and input that a
 * command no longer takes, having ended or closed its input, is not missed by it. An agent of another contract serves nothing.
 */
const isRefused = (id: number, rejected: GuestEventOf<"AgentRejected">): boolean => {
  if (rejected.reason === "ContractMismatch") return true
  if (rejected.id !== null && rejected.id !== id) return false
  if (rejected.request === "ExecStdin") return rejected.reason !== "CommandUnknown" && rejected.reason !== "InputClosed"
  return rejected.request === "Exec"
}

/** What the conversation needs of the machine. */
export interface ExecHost {
  readonly sendExec: (request: {
    readonly id: number
    readonly argv: ReadonlyArray<string>
    readonly env: ReadonlyArray<string>
    readonly cwd: string
    readonly stdin: Uint8Array
    readonly closeStdin: boolean
  }) => Effect.Effect<void, MachineError>
  readonly sendStdin: (id: number, data: Uint8Array, close: boolean) => Effect.Effect<void, MachineError>
  readonly sendKill: (id: number, signal: number) => Effect.Effect<void, MachineError>
  /**
   * Runs the guest; or, if somebody else runs it already, waits until that run is over or an event makes `isOver` true,
   * and answers `null`.
   */
  readonly advance: (until: MachineUntil, isOver: () => boolean) => Effect.Effect<MachineStop | null, MachineError>
  readonly nextId: () => number
  readonly nowNanos: () => number
  readonly eventsFromNow: () => Observable<GuestEvent>
}

const text = Schema.String.check(
  Schema.makeFilter((value: string) => !value.includes("\0") || "text without zero bytes")
)

const request = Schema.Struct({
  argv: Schema.Array(text).check(Schema.isMinLength(1)),
  env: Schema.optionalKey(
    Schema.Record(text.check(Schema.makeFilter((key: string) => /^[^=]+$/.test(key) || "a name without `=`")), text)
  ),
  cwd: Schema.optionalKey(text),
  stdin: Schema.optionalKey(Schema.Union([Schema.Uint8Array, Schema.String])),
  timeoutNanos: Schema.optionalKey(Schema.Natural)
})

const decodeRequest = Schema.decodeUnknownEffect(request, { errors: "all", onExcessProperty: "error" })

const failure = (_tag: ExecReason["_tag"], message: string) => new ExecError({ reason: { _tag, message } })

/** What the events have said about one command so far. */
interface Progress {
  readonly stdout: Array<Uint8Array>
  readonly stderr: Array<Uint8Array>
  outputBytes: number
  /** Why the engine failed, if it did. */
  fault: string
  result: { readonly code: number | null; readonly signal: number | null } | ExecError | undefined
}

const observe = (progress: Progress, id: number, command: string, event: GuestEvent): void => {
  switch (event._tag) {
    case "ExecOutput":
      if (event.id !== id) return
      progress.outputBytes += event.data.length
      if (progress.outputBytes <= mostOutputBytes) progress[event.stream].push(event.data)
      return
    case "ExecExited":
      if (event.id === id) progress.result = { code: event.code, signal: event.signal }
      return
    case "ExecFailed":
      if (event.id !== id) return
      progress.result = failure(
        "ExecFailed",
        `${command}: expected a command that starts, found: ${event.stage}: ${event.message} (errno ${event.errno})`
      )
      return
    case "EngineFault":
      progress.fault = `: ${event.message}`
      return
    case "AgentRejected":
      if (progress.result !== undefined || !isRefused(id, event)) return
      progress.result = failure("AgentRejected", `${command}: the agent refused (${event.reason}): ${event.message}`)
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

/** Runs the guest until the command has ended. */
export const execute = Effect.fn("NativeMachine.exec")(function* (host: ExecHost, spec: ExecSpec) {
  const checked = yield* decodeRequest(spec).pipe(
    Effect.mapError((problem) => failure("InvalidCommand", `exec: ${problem.message}`))
  )
  const command = checked.argv.join(" ")
  const stdin =
    typeof checked.stdin === "string" ? new TextEncoder().encode(checked.stdin) : (checked.stdin ?? new Uint8Array())
  const id = host.nextId()
  const timeoutNanos = checked.timeoutNanos ?? defaultTimeoutNanos
  const progress: Progress = { stdout: [], stderr: [], outputBytes: 0, fault: "", result: undefined }

  const listening = Effect.acquireRelease(
    Effect.sync(() => host.eventsFromNow().subscribe((event) => observe(progress, id, command, event))),
    (subscription) => Effect.sync(() => subscription.unsubscribe())
  )

  return yield* Effect.scoped(
    Effect.gen(function* () {
      yield* listening
      const head = stdin.subarray(0, stdinFrameBytes)
      yield* host.sendExec({
        id,
        argv: checked.argv,
        env: Object.entries(checked.env ?? {}).map(([key, value]) => `${key}=${value}`),
        cwd: checked.cwd ?? "",
        stdin: head,
        closeStdin: head.length === stdin.length
      })
      for (let at = head.length; at < stdin.length; at += stdinFrameBytes) {
        const piece = stdin.subarray(at, at + stdinFrameBytes)
        yield* host.sendStdin(id, piece, at + piece.length === stdin.length)
      }
      const deadline = host.nowNanos() + timeoutNanos
      let isKilled = false
      const limit = () => (isKilled ? deadline + graceNanos : deadline)
      while (progress.result === undefined) {
        const stop = yield* host.advance(
          { kinds: ["ExecExited", "ExecFailed", "AgentRejected"], atNanos: limit() },
          () => progress.result !== undefined || host.nowNanos() >= limit()
        )
        if (progress.result !== undefined) break
        if (stop !== null && ended.has(stop.reason)) {
          return yield* failure(
            "GuestEnded",
            `${command}: expected its exit status, found the run ended: ${stop.reason}${progress.fault}`
          )
        }
        // Nothing can wake an idle guest without input: its command will not end by itself.
        const isStuck = stop?.reason === "idle" || host.nowNanos() >= limit()
        if (isStuck && isKilled) break
        if (isStuck) {
          isKilled = true
          yield* host.sendKill(id, sigkill)
        }
      }
      if (progress.result instanceof ExecError) return yield* progress.result
      if (isKilled || progress.result === undefined) {
        return yield* failure(
          "TimedOut",
          `${command}: expected its end within ${timeoutNanos / 1e9} s of guest time, found it still running; it was killed`
        )
      }
      if (progress.outputBytes > mostOutputBytes) {
        return yield* failure(
          "TooMuchOutput",
          `${command}: expected at most ${mostOutputBytes} bytes of output, found ${progress.outputBytes}`
        )
      }
      const result: ExecResult = {
        code: progress.result.code,
        signal: progress.result.signal,
        stdout: concat(progress.stdout),
        stderr: concat(progress.stderr)
      }
      return result
    }).pipe(Effect.onInterrupt(() => Effect.ignore(host.sendKill(id, sigkill))))
  )
})
