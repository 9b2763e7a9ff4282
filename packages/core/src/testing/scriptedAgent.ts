/**
 * The agent of a scripted guest: its answer to each request, and when it comes.
 *
 * @module
 */
import type { AgentRequest } from "../agent/AgentPort.ts"
import { revealed, revealedEnvironment } from "../agent/secrets.ts"
import type { IdentitySpec } from "../Vmm.ts"
import { type EventBody, type ScriptedGuest, serviceCommands } from "./guestScript.ts"
import type { PendingAnswer, PendingCommand, ScriptedState, ScriptedVmmOptions } from "./ScriptedState.ts"

const millis = 1_000_000

/** Whether a request holds a secret, and is recorded without its content. */
export const isSecret = (request: AgentRequest): boolean =>
  request._tag === "ApplyIdentity"
    ? revealedEnvironment(request.identity.env).isSecret
    : "isSecret" in request && request.isSecret

/** Adds the agent's answer to a request to the guest's state. */
export const scriptedAgent = (options: ScriptedVmmOptions, state: ScriptedState): ((request: AgentRequest) => void) => {
  const guest = (stdin: Uint8Array): ScriptedGuest => ({
    entropy: state.entropy,
    hostname: state.hostname,
    machineId: state.machineId,
    env: state.env,
    realtimeNanos: state.realtimeAtZero + BigInt(state.nowNanos),
    nowNanos: state.nowNanos,
    stdin
  })

  const answerLater = (
    afterNanos: number,
    event: EventBody,
    options: Partial<Pick<PendingAnswer, "effect" | "identity" | "isWorkload">> = {}
  ): void => {
    const answer = { effect: "none", identity: null, isWorkload: false, ...options } as const
    state.answers = [...state.answers, { atNanos: state.nowNanos + afterNanos, event, ...answer }]
  }

  const applyIdentity = (token: number, identity: IdentitySpec): void => {
    const manners = options.identity ?? "acknowledge"
    const acknowledge = (afterNanos: number, named: number) => {
      const env = Object.fromEntries(Object.entries(identity.env).map(([key, value]) => [key, revealed(value)]))
      answerLater(afterNanos, { _tag: "IdentityApplied", token: named }, { identity: { ...identity, env } })
      if (identity.thaw) answerLater(afterNanos, { _tag: "AgentThawed", token: named }, { effect: "thaw" })
    }
    if (manners === "acknowledge") acknowledge(millis, token)
    else if (manners === "wrongToken") acknowledge(millis, token + 1)
    else if (manners === "reject") {
      const [request, reason] = ["ApplyIdentity", "IdentityInvalid"] as const
      answerLater(millis, { _tag: "AgentRejected", request, id: token, reason, message: "identity refused" })
    } else if (manners === "panic") {
      answerLater(millis, { _tag: "GuestPanicked", message: "Attempted to kill init!" })
    } else if (typeof manners === "object") acknowledge(manners.afterNanos, token)
  }

  /** Executes a command whose input is complete. */
  const execute = ({ argv, id, stdin }: PendingCommand): void => {
    const command = (options.commands ?? serviceCommands)(argv, guest(Uint8Array.from(stdin)))
    const duration = command.durationNanos ?? millis
    const isWorkload = command.needsWorkload ?? false
    for (const stream of ["stdout", "stderr"] as const) {
      const text = command[stream]
      if (text === undefined) continue
      answerLater(duration, { _tag: "ExecOutput", id, stream, data: new TextEncoder().encode(text) }, { isWorkload })
    }
    answerLater(duration, { _tag: "ExecExited", id, code: command.code ?? 0, signal: null }, { isWorkload })
  }

  const feed = (id: number, data: Uint8Array, close: boolean): void => {
    const command = state.commands.find((each) => each.id === id)
    if (command === undefined) return
    const fed = { ...command, stdin: [...command.stdin, ...data] }
    state.commands = state.commands.filter((each) => each.id !== id)
    if (data.length > 0) answerLater(0, { _tag: "ExecInputTaken", id, bytes: data.length })
    if (close) execute(fed)
    else state.commands = [...state.commands, fed]
  }

  const kill = (id: number, signal: number): void => {
    const isOf = (event: EventBody): boolean => "id" in event && event.id === id
    const runs =
      state.commands.some((each) => each.id === id) ||
      state.answers.some(({ event }) => event._tag === "ExecExited" && event.id === id)
    if (!runs) return
    state.commands = state.commands.filter((each) => each.id !== id)
    state.answers = state.answers.filter(({ event }) => event._tag === "ExecStarted" || !isOf(event))
    answerLater(0, { _tag: "ExecExited", id, code: null, signal })
  }

  return (asked) => {
    switch (asked._tag) {
      case "Go":
      // A scripted command writes all output at once, whatever its window.
      case "ExecWindow":
      case "ExecResize":
        return
      case "Exec":
        answerLater(0, { _tag: "ExecStarted", id: asked.id, pid: 100 + asked.id })
        state.commands = [...state.commands, { id: asked.id, argv: asked.argv, stdin: [] }]
        return feed(asked.id, asked.stdin, asked.closeStdin)
      case "ExecStdin":
        return feed(asked.id, asked.data, asked.close)
      case "ExecKill":
        return kill(asked.id, asked.signal)
      case "Freeze": {
        const after = options.freezeNanos === undefined ? millis : options.freezeNanos
        if (after !== null) {
          answerLater(after, { _tag: "AgentFrozen", token: asked.token }, { effect: "freeze" })
        }
        return
      }
      case "Thaw": {
        // Requests are carried out in their order.
        const frozenAt = Math.max(...state.answers.map((each) => (each.effect === "freeze" ? each.atNanos : 0)), 0)
        const after = Math.max(millis, frozenAt - state.nowNanos)
        return answerLater(after, { _tag: "AgentThawed", token: asked.token }, { effect: "thaw" })
      }
      case "ApplyIdentity":
        return applyIdentity(asked.token, asked.identity)
      case "SetClock":
        // Takes effect before the next command, as for a real guest.
        state.realtimeAtZero = asked.realtimeNanos - BigInt(state.nowNanos)
        return
      case "StartWorkload": {
        const [request, reason] = ["StartWorkload", "WorkloadPresent"] as const
        return answerLater(0, {
          _tag: "AgentRejected",
          request,
          id: asked.token,
          reason,
          message: "the guest has its workload"
        })
      }
      case "PowerOff":
        return answerLater(0, { _tag: "GuestHalted", reason: 0 })
    }
  }
}
