import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { rejectReasons } from "../contract/contract.ts"
import { toldAgent, toldId } from "../testing/toldAgent.ts"

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
                const agent = toldAgent({ _tag: "AgentRejected", request, id: toldId, reason, message })
                const error = yield* Effect.flip(agent.execute({ argv: ["true"] }))
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
