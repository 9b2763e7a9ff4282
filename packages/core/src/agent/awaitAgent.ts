/**
 * Waiting for the agent of a guest that boots.
 *
 * @module
 */
import { Effect } from "effect"
import type { MachineError } from "../MachineErrors.ts"
import { AgentError } from "../AgentErrors.ts"
import type { AgentPort } from "./AgentPort.ts"
import { openConversation } from "./conversation.ts"
import { panicInWords } from "./kernelReports.ts"

/** Guest time within which a guest that boots must have an agent. */
const bootNanos = 60e9

/**
 * Runs a booting guest until its agent is ready, for at most 60 s of guest time. Returns at once if it is ready; a machine whose
 * log does not begin with a boot was restored or forked, and counts as ready.
 */
export const awaitAgent = (port: AgentPort): Effect.Effect<void, AgentError | MachineError> => {
  let isReady = false
  return Effect.suspend(() => {
    if (isReady) return Effect.void
    return Effect.scoped(
      Effect.gen(function* () {
        const conversation = yield* openConversation(port, (event) => {
          if (event._tag === "AgentReady") isReady = true
        })
        const events = yield* port.eventsSoFar
        // A kernel that panics before it can reset the machine hangs forever.
        const panic = events.find((event) => event._tag === "GuestPanicked")
        if (panic !== undefined) {
          const detail = panicInWords(panic.message, events)
          const { atNanos } = panic
          return yield* new AgentError({ reason: { _tag: "GuestEnded", how: "panicked", detail, atNanos } })
        }
        const isFromItsBoot = events.length === 0 ? port.nextSeq() === 0 : events[0]?.seq === 0
        if (!isFromItsBoot || events.some((event) => event._tag === "AgentReady")) isReady = true
        const dueNanos = (yield* port.nowNanos) + bootNanos
        const turn = yield* conversation.until({ settled: () => isReady || undefined, kinds: ["AgentReady"], dueNanos })
        if (turn._tag === "Settled") return
        if (turn._tag === "Ended") {
          const told = turn.how === "panicked" ? yield* port.eventsSoFar : []
          const detail = turn.how === "panicked" ? panicInWords(turn.detail, told) : turn.detail
          return yield* new AgentError({ reason: { ...turn, _tag: "GuestEnded", detail } })
        }
        return yield* new AgentError({ reason: { _tag: "Absent", waitedNanos: bootNanos } })
      })
    )
  })
}
