import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { Subject } from "rxjs"
import { rejectReasons } from "../contract/contract.ts"
import type { GuestEvent, GuestEventOf } from "../GuestEvent.ts"
import type { MachineStop } from "../Vmm.ts"
import type { AgentPort } from "./AgentPort.ts"
import { makeAgent } from "./makeAgent.ts"

/** A guest whose agent refuses the command 7, and whose time goes on with every question. */
const refusing = ({
  message,
  reason,
  request
}: Pick<GuestEventOf<"AgentRejected">, "message" | "reason" | "request">) => {
  const events = new Subject<GuestEvent>()
  let nowNanos = 0
  const port: AgentPort = {
    tell: () => Effect.void,
    type: () => Effect.void,
    nextToken: () => Effect.succeed(7),
    nowNanos: Effect.sync(() => nowNanos),
    // Of a machine that was restored: its agent is there.
    nextSeq: () => 1,
    eventsFrom: () => events,
    eventsSoFar: Effect.succeed([]),
    advance: () =>
      Effect.sync((): MachineStop => {
        nowNanos += 1e9
        events.next({ _tag: "AgentRejected", request, id: 7, reason, message, seq: 1, atNanos: nowNanos })
        return { reason: "event", seq: 1, atNanos: nowNanos }
      })
  }
  return makeAgent(port)
}

/** Input that comes too late is no failure of the command. */
const isLate = (request: string, reason: string): boolean =>
  request === "ExecStdin" && (reason === "InputClosed" || reason === "CommandUnknown")

describe("a command that the agent refuses", () => {
  it.effect("says-which-of-the-contracts-reasons-it-was", () =>
    Effect.promise(() =>
      fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...rejectReasons),
          fc.constantFrom("Exec" as const, "ExecStdin" as const),
          fc.string(),
          (reason, request, message) =>
            Effect.runPromise(
              Effect.gen(function* () {
                if (isLate(request, reason)) return
                const error = yield* Effect.flip(refusing({ request, reason, message }).execute({ argv: ["true"] }))
                assert(error._tag === "ExecError" && error.reason._tag === "AgentRejected")
                assert.strictEqual(error.reason.why, reason)
                assert.include(error.message, message)
              })
            )
        )
      )
    )
  )
})
