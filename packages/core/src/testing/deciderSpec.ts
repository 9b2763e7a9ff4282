/**
 * Given events, when a command, then events or a refusal: the language in which deciders are tested.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import { Result } from "effect"

/** A decider: what {@link deciderSpec} needs to know about it. */
export interface Decider<State, Command, Event, Refusal> {
  readonly initialState: State
  readonly evolve: (state: State, event: Event) => State
  readonly decide: (state: State, command: Command) => Result.Result<ReadonlyArray<Event>, Refusal>
}

/** The expected results of a command. */
export interface Then<State, Event, Refusal> {
  /** Exactly these events. */
  readonly thenEvents: (...events: ReadonlyArray<Event>) => void
  /** The state after them satisfies this. */
  readonly thenState: (check: (state: State) => void) => void
  /** Nothing happens: refused, for a reason that satisfies this. */
  readonly thenRefused: (check?: (refusal: Refusal) => void) => void
}

/**
 * Makes `given` for a decider.
 *
 * @example
 * ```ts
 * import { deciderSpec } from "@stillpoint/core/testing"
 * import { decide, evolve, initialState } from "@stillpoint/core"
 *
 * const given = deciderSpec({ decide, evolve, initialState })
 * given().when({ _tag: "KeepInMemory" }).thenRefused((refusal) => console.log(refusal.phase)) // not-started
 * ```
 */
export const deciderSpec =
  <State, Command, Event, Refusal>(decider: Decider<State, Command, Event, Refusal>) =>
  (...events: ReadonlyArray<Event>) => ({
    when: (command: Command): Then<State, Event, Refusal> => {
      const before = events.reduce(decider.evolve, decider.initialState)
      const decision = decider.decide(before, command)
      return {
        thenEvents: (...expected) => {
          assert.ok(
            Result.isSuccess(decision),
            `refused: ${Result.isFailure(decision) ? String(decision.failure) : ""}`
          )
          assert.deepEqual(decision.success, expected)
        },
        thenState: (check) => {
          assert.ok(
            Result.isSuccess(decision),
            `refused: ${Result.isFailure(decision) ? String(decision.failure) : ""}`
          )
          check(decision.success.reduce(decider.evolve, before))
        },
        thenRefused: (check) => {
          assert.ok(Result.isFailure(decision), "accepted")
          check?.(decision.failure)
        }
      }
    }
  })
