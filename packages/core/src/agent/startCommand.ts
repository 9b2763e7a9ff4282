/**
 * A command in a guest from its start to its end, as the events tell it: what `exec` and `spawn` are built on.
 *
 * @module
 */
import { Effect, Exit, Scope, Semaphore } from "effect"
import { guestEndInWords } from "../GuestEnd.ts"
import { contractLimits } from "../contract/contract.ts"
import type { GuestEvent, GuestEventKind, GuestEventOf, GuestNanos } from "../GuestEvent.ts"
import type { ExecError, MachineError } from "../MachineErrors.ts"
import type { Secret } from "../Secret.ts"
import { awaitAgent } from "./awaitAgent.ts"
import type { AgentPort } from "./AgentPort.ts"
import { execError, notStartedError, type PlainExecReason, refusedError } from "./commandRequest.ts"
import { type Conversation, openConversation } from "./conversation.ts"
import { revealedEnvironment } from "./secrets.ts"

/** Guest time after which a full set of slots is tried again, if no command has ended before. */
const slotNanos = 10e6

/** Guest time within which an agent that has a channel opens it and tells that input is taken; others tell nothing so soon. */
const channelNanos = 200e6

/** Guest time that a killed command gets to end. */
const graceNanos = 1e9

const sigkill = 9

/** Kinds of events that may change what becomes of a command. */
export const commandKinds = [
  "ExecOutputHeld",
  "ExecExited",
  "ExecFailed",
  "AgentRejected"
] as const satisfies ReadonlyArray<GuestEventKind>

/** The command to start. */
export interface CommandSpec {
  readonly argv: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, Secret<string>>>
  readonly cwd?: string
  readonly user?: string
  readonly terminal?: { readonly columns: number; readonly rows: number }
  /** First bytes of standard input, and whether it ends with them. */
  readonly stdin: Uint8Array
  readonly closeStdin: boolean
  readonly isStdinSecret: boolean
  /** The output window in bytes at the start. */
  readonly outputBytes: number
  readonly isFileService: boolean
  /** Maximum guest time of the wait for a place. */
  readonly patienceNanos: GuestNanos
}

/** The end of a command. */
export interface CommandEnd {
  readonly code: number | null
  readonly signal: number | null
}

/** A command that runs, or has run, in a guest. */
export interface Command {
  readonly id: number
  /** Guest time at which it was sent. */
  readonly sentAtNanos: GuestNanos
  /** Its name in messages. */
  readonly name: string
  readonly conversation: Conversation
  /** Its process id in the guest; `null` until the agent has reported it. */
  readonly pid: () => number | null
  /** Its end, or why there will be none; `undefined` while it runs. */
  readonly end: () => CommandEnd | ExecError | undefined
  /** Whether all its processes have ended, as far as is known. */
  readonly hasEnded: () => boolean
  /** Whether it has used up its output window. */
  readonly isHeld: () => boolean
  /** Bytes of its input that it has taken. */
  readonly takenBytes: () => number
  /**
   * Runs the guest until the agent first confirms that the command has taken input; by then the agent's channel, if it has one,
   * is open, and further input goes over it. Waits at most 200 ms of guest time, and not beyond `latestNanos`.
   */
  readonly firstTaken: (latestNanos: GuestNanos) => Effect.Effect<void, MachineError>
  /** Whether its standard input is closed. */
  readonly isInputClosed: () => boolean
  /** Its run is over because the guest's is. */
  readonly abandon: () => void
  /** Lets it say more output. */
  readonly widen: (bytes: number) => Effect.Effect<void, MachineError>
  /** Sends it and its process group a signal. */
  readonly signal: (number: number) => Effect.Effect<void, MachineError>
  /** Kills it, discards its remaining output, and runs the guest until it has ended, for at most a second of guest time. */
  readonly kill: Effect.Effect<void, MachineError>
}

/** Callbacks for a command's events, in order. */
export interface CommandEars {
  readonly output: (event: GuestEventOf<"ExecOutput">) => void
  /** After any event that concerns it, and when no more can come. */
  readonly changed?: () => void
}

/** Starts commands over a port: as many at once as the agent has slots for, the others in their turn. */
export const makeStartCommand = (port: AgentPort) => {
  const slots = Semaphore.makeUnsafe(contractLimits.commands)
  const ready = awaitAgent(port)

  const attempt = (spec: CommandSpec, ears: CommandEars) =>
    Effect.gen(function* () {
      const name = spec.argv.join(" ")
      const id = yield* port.nextToken(null)
      const sentAtNanos = yield* port.nowNanos
      let pid: number | null = null
      let end: CommandEnd | ExecError | undefined
      let hasEnded = false
      // The bytes output and the window are both known here exactly; when the command reports that it is held, more may be on its
      // way.
      let saidBytes = 0
      let allowedBytes = spec.outputBytes
      let takenBytes = 0
      let isInputClosed = spec.closeStdin
      let isTurnedAway = false
      const fail = (tag: PlainExecReason, message: string): void => {
        end ??= execError(tag, `${name}: ${message}`)
      }
      const hear = (event: GuestEvent): void => {
        switch (event._tag) {
          case "ExecStarted":
            pid = event.pid
            return
          case "ExecOutput":
            saidBytes += event.data.length
            ears.output(event)
            return
          case "ExecInputTaken":
            takenBytes += event.bytes
            return
          case "ExecExited":
            hasEnded = true
            end ??= { code: event.code, signal: event.signal }
            return
          case "ExecFailed":
            hasEnded = true
            end ??= notStartedError(name, event)
            return
          case "AgentRejected":
            // Input that a command takes no longer, having ended or closed it, is not missed by it.
            if (
              event.request === "ExecStdin" &&
              (event.reason === "InputClosed" || event.reason === "CommandUnknown")
            ) {
              isInputClosed = true
            } else if (event.request === "Exec" || event.request === "ExecStdin") {
              isTurnedAway = event.reason === "CommandsFull"
              hasEnded ||= event.request === "Exec" && event.reason !== "StreamsFailed"
              end ??= refusedError(name, event)
            }
        }
      }
      const conversation = yield* openConversation(
        port,
        (event) => {
          if (event._tag === "AgentRejected" && event.reason === "ContractMismatch") {
            hasEnded = true
            end ??= refusedError(name, event)
          } else if (event._tag === "EventsDropped" && event.kind === "ExecOutput") {
            fail(
              "TooMuchOutput",
              `expected all of its output, found ${event.count} pieces of output dropped for the guest's quota; it was killed: write ` +
                "to a file in the guest, or raise eventQuotas.ExecOutput"
            )
          } else if ("id" in event && event.id === id) hear(event)
          else return
          ears.changed?.()
        },
        ears.changed
      )
      const signal = (number: number) => conversation.send({ _tag: "ExecKill", id, signal: number })
      const command: Command = {
        id,
        sentAtNanos,
        name,
        conversation,
        pid: () => pid,
        end: () => end,
        hasEnded: () => hasEnded,
        isHeld: () => !hasEnded && saidBytes >= allowedBytes,
        takenBytes: () => takenBytes,
        firstTaken: (latestNanos) =>
          Effect.flatMap(port.nowNanos, (now) =>
            Effect.asVoid(
              conversation.until({
                settled: () => takenBytes > 0 || isInputClosed || end !== undefined || undefined,
                kinds: [...commandKinds, "ExecInputTaken"],
                dueNanos: Math.min(now + channelNanos, latestNanos)
              })
            )
          ),
        isInputClosed: () => isInputClosed,
        abandon: () => {
          hasEnded = true
        },
        widen: (bytes) =>
          Effect.suspend(() => {
            allowedBytes += bytes
            return conversation.send({ _tag: "ExecWindow", id, bytes })
          }),
        signal,
        kill: Effect.gen(function* () {
          if (hasEnded) return
          isInputClosed = true
          yield* signal(sigkill)
          yield* conversation.send({ _tag: "ExecWindow", id, bytes: 0 })
          yield* conversation.until({
            settled: () => hasEnded || undefined,
            kinds: ["ExecExited", "ExecFailed"],
            dueNanos: (yield* port.nowNanos) + graceNanos
          })
          hasEnded = true
        })
      }
      const { env, isSecret } = revealedEnvironment(spec.env ?? {})
      const request = {
        _tag: "Exec" as const,
        id,
        argv: spec.argv,
        env,
        cwd: spec.cwd ?? "",
        stdin: spec.stdin,
        closeStdin: spec.closeStdin,
        outputBytes: spec.outputBytes,
        user: spec.user ?? "",
        columns: spec.terminal?.columns ?? 0,
        rows: spec.terminal?.rows ?? 0,
        isFileService: spec.isFileService,
        isSecret: isSecret || spec.isStdinSecret
      }
      // An interrupted start kills the command and all its processes, and does not wait for them.
      yield* Effect.addFinalizer(() =>
        Effect.suspend(() =>
          hasEnded
            ? Effect.void
            : Effect.ignore(
                Effect.andThen(
                  port.tell({ _tag: "ExecKill", id, signal: sigkill }),
                  port.tell({ _tag: "ExecWindow", id, bytes: 0 })
                )
              )
        )
      )
      yield* conversation.send(request)
      return { command, isTurnedAway: () => isTurnedAway }
    })

  /**
   * Starts a command in the scope; the end of the scope kills it if it still runs. Does not wait for its start, unless all places
   * are taken.
   */
  return (spec: CommandSpec, ears: CommandEars): Effect.Effect<Command, ExecError | MachineError, Scope.Scope> =>
    Effect.gen(function* () {
      const name = spec.argv.join(" ")
      const scope = yield* Effect.scope
      // Its place is another's once it has ended, however long the scope lasts.
      const place = yield* Scope.fork(scope)
      yield* Scope.provide(Semaphore.takeScoped(slots, 1), place)
      let begun: Effect.Success<ReturnType<typeof attempt>> | null = null
      const leave = (): void => {
        if (begun?.command.hasEnded() !== true || begun.isTurnedAway()) return
        begun = null
        Effect.runFork(Scope.close(place, Exit.void))
      }
      const heard: CommandEars = {
        output: ears.output,
        changed: () => {
          ears.changed?.()
          leave()
        }
      }
      yield* Effect.catchTag(ready, "AgentError", (error) =>
        execError(error.reason._tag === "Absent" ? "AgentAbsent" : "GuestEnded", `${name}: ${error.message}`)
      )
      const giveUpAt = (yield* port.nowNanos) + spec.patienceNanos
      while (true) {
        const attemptScope = yield* Scope.fork(scope)
        begun = yield* Scope.provide(attempt(spec, heard), attemptScope)
        const { command, isTurnedAway } = begun
        leave()
        const { conversation } = command
        const turn = yield* conversation.until({
          settled: () => (command.pid() !== null || command.end() !== undefined ? true : undefined),
          kinds: ["ExecStarted", "ExecFailed", "AgentRejected"],
          dueNanos: giveUpAt
        })
        if (turn._tag === "Ended") {
          command.abandon()
          return yield* execError(
            "GuestEnded",
            `${name}: expected its exit status, found the run ended: ${guestEndInWords(turn)}`
          )
        }
        if (!isTurnedAway() || (yield* port.nowNanos) >= giveUpAt) return command
        yield* Scope.close(attemptScope, Exit.void)
        yield* port.advance({ kinds: ["ExecExited"], budgetNanos: slotNanos }, Effect.sleep("1 millis"))
      }
    })
}
