/**
 * The client of the agent in a guest: everything that the host asks of it, in one place.
 *
 * @module
 */
import { Cause, Effect, Exit, Redacted, Result } from "effect"
import { AgentError, type AgentReason, WorkloadStartError } from "../AgentErrors.ts"
import type { GuestEvent, GuestNanos } from "../GuestEvent.ts"
import type { MachineError } from "../MachineErrors.ts"
import type { Agent, AnswerTime, IdentitySpec, MachineStop } from "../Vmm.ts"

import type { AgentPort, AgentRequest, TokenAnswer } from "./AgentPort.ts"
import { checkedClock, checkedIdentity, checkedTyping, checkedWithin } from "./checkedRequest.ts"
import { openConversation, withRoom } from "./conversation.ts"
import { makeExecute } from "./execute.ts"
import { makeGuestFiles } from "./serveFiles.ts"
import { makeSpawn } from "./spawn.ts"
import { makeStartCommand } from "./startCommand.ts"
import type { Secret } from "../Secret.ts"
import { checkedWorkloadSettings, type StartSpec } from "../WorkloadSpec.ts"
import { revealed } from "./secrets.ts"

const fail = (reason: AgentReason) => new AgentError({ reason })

/** Bytes that are typed at once. */
const typedBytes = 64 * 1024

/** The answer in an event to a request with a token. */
const answerTo = (
  event: GuestEvent,
  request: AgentRequest["_tag"],
  answer: TokenAnswer | null,
  token: number
): Result.Result<GuestNanos, AgentError> | undefined => {
  if (event._tag === "AgentRejected") {
    const isAnswer = event.request === request && event.id === token
    // An agent of another contract serves nothing.
    if (!isAnswer && event.reason !== "ContractMismatch") return undefined
    return Result.fail(fail({ _tag: "Refused", request, why: event.reason, message: event.message }))
  }
  if (event._tag !== answer || !("token" in event)) return undefined
  return event.token === token
    ? Result.succeed(event.atNanos)
    : Result.fail(fail({ _tag: "WrongAnswer", expectedToken: token, foundToken: event.token }))
}

/** The answer in an event to the start of a workload. */
const answerToStart = (
  event: GuestEvent,
  token: number
): Result.Result<GuestNanos, AgentError | WorkloadStartError> | undefined => {
  if (event._tag === "WorkloadPreExec") return Result.succeed(event.atNanos)
  if (event._tag === "WorkloadFailed") {
    return Result.fail(new WorkloadStartError({ step: event.step, errno: event.errno, detail: event.message }))
  }
  return answerTo(event, "StartWorkload", null, token)
}

/** Whether nobody waits for the answer any more: the caller was interrupted, or it did not come in time. */
const isGivenUp = (exit: Exit.Exit<unknown, AgentError | MachineError>): boolean =>
  Exit.isFailure(exit) &&
  (Cause.hasInterrupts(exit.cause) ||
    exit.cause.reasons.some(
      (reason) =>
        reason._tag === "Fail" && reason.error._tag === "AgentError" && reason.error.reason._tag === "NoAnswer"
    ))

/** The client of the agent behind a port. */
export const makeAgent = (port: AgentPort): Agent => {
  const start = makeStartCommand(port)
  /** Sends a request with a token, and runs the guest until the answer comes. */
  const ask = <R extends AgentRequest>(
    answer: TokenAnswer,
    request: (token: number) => R,
    [operation, time]: readonly [
      operation: string,
      time: (AnswerTime & { readonly onSent?: (token: number) => Effect.Effect<void> }) | undefined
    ]
  ) =>
    Effect.scoped(
      Effect.gen(function* () {
        const withinNanos = yield* checkedWithin(operation, time)
        const token = yield* port.nextToken(answer)
        const asked = request(token)
        let heard: Result.Result<GuestNanos, AgentError> | undefined
        const conversation = yield* openConversation(port, (event) => {
          heard ??= answerTo(event, asked._tag, answer, token)
        })
        const dueNanos = (yield* port.nowNanos) + withinNanos
        yield* conversation.send(asked)
        if (time?.onSent !== undefined) yield* time.onSent(token)
        const turn = yield* conversation.until({ settled: () => heard, kinds: [answer, "AgentRejected"], dueNanos })
        switch (turn._tag) {
          case "Settled":
            return { atNanos: yield* Effect.fromResult(turn.value), token }
          case "Ended":
            return yield* fail({ ...turn, _tag: "GuestEnded" })
          case "Due":
          case "Idle":
            return yield* fail({ _tag: "NoAnswer", waitingFor: answer, withinNanos })
        }
      })
    )

  const request = (answer: TokenAnswer, make: (token: number) => AgentRequest) =>
    Effect.tap(port.nextToken(answer), (token) => port.tell(make(token)))

  const freeze = (token: number): AgentRequest => ({ _tag: "Freeze", token })
  const thaw = (token: number): AgentRequest => ({ _tag: "Thaw", token })
  const requestThaw = request("AgentThawed", thaw)
  /** Thaws the workload if the freeze is given up before it is answered: the guest would carry it out all the same. */
  const freezeOrWithdraw: Agent["freeze"] = (time) =>
    ask("AgentFrozen", freeze, ["freeze", time]).pipe(
      Effect.map(({ atNanos }) => atNanos),
      Effect.onExit((exit) => (isGivenUp(exit) ? Effect.ignore(requestThaw) : Effect.void))
    )
  const applyIdentity =
    (identity: IdentitySpec) =>
    (token: number): AgentRequest => ({ _tag: "ApplyIdentity", token, identity })

  /** The workload's own events answer: they carry no token, and a guest has one workload. */
  const startWorkload = (spec: StartSpec, time?: AnswerTime) =>
    Effect.scoped(
      Effect.gen(function* () {
        const told = yield* checkedWorkloadSettings(spec)
        const token = yield* port.nextToken(null)
        let heard: ReturnType<typeof answerToStart>
        const conversation = yield* openConversation(port, (event) => {
          heard ??= answerToStart(event, token)
        })
        const withinNanos = yield* checkedWithin("startWorkload", time, "30 seconds")
        const dueNanos = (yield* port.nowNanos) + withinNanos
        yield* conversation.send({ _tag: "StartWorkload", token, ...told })
        const kinds = ["WorkloadPreExec", "WorkloadFailed", "AgentRejected"] as const
        const turn = yield* conversation.until({ settled: () => heard, kinds, dueNanos })
        if (turn._tag === "Settled") return yield* Effect.fromResult(turn.value)
        if (turn._tag === "Ended") return yield* fail({ ...turn, _tag: "GuestEnded" })
        return yield* fail({ _tag: "NoAnswer", waitingFor: "WorkloadPreExec", withinNanos })
      })
    )

  const requestWorkload = Effect.fnUntraced(function* (spec: StartSpec) {
    const told = yield* checkedWorkloadSettings(spec)
    const token = yield* port.nextToken(null)
    yield* port.tell({ _tag: "StartWorkload", token, ...told })
    return token
  })

  const powerOff = (time?: AnswerTime) =>
    Effect.scoped(
      Effect.gen(function* () {
        let refusal: AgentError | undefined
        const conversation = yield* openConversation(port, (event) => {
          if (event._tag !== "AgentRejected" || event.request !== "PowerOff") return
          refusal ??= fail({ _tag: "Refused", request: "PowerOff", why: event.reason, message: event.message })
        })
        const withinNanos = yield* checkedWithin("powerOff", time)
        const dueNanos = (yield* port.nowNanos) + withinNanos
        yield* conversation.send({ _tag: "PowerOff" })
        const turn = yield* conversation.until({ settled: () => refusal, kinds: ["AgentRejected"], dueNanos })
        if (turn._tag === "Settled") return yield* turn.value
        if (turn._tag === "Ended" && turn.how === "halted") {
          return { reason: "halted", seq: null, atNanos: turn.atNanos } satisfies MachineStop
        }
        if (turn._tag === "Ended") return yield* fail({ ...turn, _tag: "GuestEnded" })
        return yield* fail({ _tag: "NoAnswer", waitingFor: "GuestHalted", withinNanos })
      })
    )

  return {
    freeze: freezeOrWithdraw,
    thaw: (time) => Effect.map(ask("AgentThawed", thaw, ["thaw", time]), ({ atNanos }) => atNanos),
    identify: (identity, time) =>
      Effect.flatMap(checkedIdentity(identity), (checked) =>
        ask("IdentityApplied", applyIdentity(checked), ["identify", time])
      ),
    execute: makeExecute(start),
    spawn: makeSpawn(start),
    files: makeGuestFiles(start),
    go: port.tell({ _tag: "Go" }),
    setClock: (nanos) =>
      Effect.flatMap(checkedClock(nanos), (realtimeNanos) => port.tell({ _tag: "SetClock", realtimeNanos })),
    startWorkload,
    requestWorkload,
    powerOff,
    type: Effect.fnUntraced(function* (number: number, given: Secret<Uint8Array>) {
      const data = yield* checkedTyping(number, revealed(given))
      const isSecret = Redacted.isRedacted(given)
      // An empty text is a question for the port, too.
      let at = 0
      do {
        yield* withRoom(port, port.type(number, data.subarray(at, at + typedBytes), isSecret))
        at += typedBytes
      } while (at < data.length)
    }),
    requestFreeze: request("AgentFrozen", freeze),
    requestThaw,
    requestIdentity: (identity) =>
      Effect.flatMap(checkedIdentity(identity), (checked) => request("IdentityApplied", applyIdentity(checked)))
  }
}
