/**
 * How a machine came through its gate, as a fact that can be kept.
 *
 * @module
 */
import { Cause, Clock, Effect, Exit } from "effect"
import type { GateState } from "./GateState.ts"

/** One way through a gate, made or refused. */
export interface Admission {
  /** Host time of its beginning, milliseconds since 1970. */
  readonly atMillis: number
  /** The states of the gate, and how long after the beginning each was reached. */
  readonly states: ReadonlyArray<{ readonly state: GateState["_tag"]; readonly afterMillis: number }>
  readonly outcome: "ready" | "refused"
}

/**
 * Runs a gate and reports how it went; a gate that is interrupted is not reported.
 *
 * @example
 * ```ts
 * import { Gate, type Machine } from "@stillpoint/core"
 * import { Console, Effect } from "effect"
 *
 * export const another = (machine: Machine) =>
 *   Gate.watched(
 *     (onState) => Gate.fork(machine, false, { onState }),
 *     ({ outcome, states }) => Console.log(outcome, states.at(-1)?.afterMillis)
 *   )
 * ```
 */
export const watched = <A, E, R>(
  gate: (onState: (state: GateState) => Effect.Effect<void>) => Effect.Effect<A, E, R>,
  report: (admission: Admission) => Effect.Effect<void>
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const atMillis = yield* Clock.currentTimeMillis
    const begun = yield* Clock.currentTimeNanos
    const states: Array<Admission["states"][number]> = []
    const onState = ({ _tag }: GateState) =>
      Effect.map(Clock.currentTimeNanos, (now) => {
        states.push({ state: _tag, afterMillis: Number(now - begun) / 1e6 })
      })
    return yield* Effect.onExit(gate(onState), (exit) =>
      Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        ? Effect.void
        : report({ atMillis, states, outcome: Exit.isSuccess(exit) ? "ready" : "refused" })
    )
  })
