/**
 * Running and replaying triggers.
 *
 * @module
 */
import type { Firing, GuestTimeline, MachineError, Trigger as TriggerPort, TriggerError } from "@stillpoint/core"
import type { Effect, Stream } from "effect"

import { refuse } from "./PolicyError.ts"

export { replay, replayAll } from "./deciding/replayPolicy.ts"
export type { ReplayedTimeline, ReplayOptions } from "./deciding/replayPolicy.ts"

/**
 * The first firing of a policy on the provided timeline.
 *
 * In lockstep the guest executes nothing between the cause and the decision, and stands at the instruction that caused it: the
 * slippage is 0. Free-running, the slippage between the decision and the pause is measured. Interruption stops the guest and
 * interrupts every probe. Ends with a `TriggerError` if the guest ends, the engine faults, or the policy can no longer fire.
 *
 * @example
 * ```ts
 * import { GuestTimeline } from "@stillpoint/core"
 * import { onPreExec, Trigger } from "@stillpoint/triggers"
 * import { Effect } from "effect"
 *
 * export const program = Effect.gen(function* () {
 *   const firing = yield* Trigger.await(onPreExec())
 *   return yield* Effect.log(`${firing.trigger} at ${firing.atNanos} ns`)
 * }) satisfies Effect.Effect<void, unknown, GuestTimeline>
 * ```
 */
const awaitFiring = (policy: TriggerPort): Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline> =>
  required("Trigger.await", policy).await

export { awaitFiring as await }

/** Every firing of a policy that repeats. The guest continues when the next one is pulled. */
export const firings = (policy: TriggerPort): Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline> =>
  required("Trigger.firings", policy).firings

/** A program without types may have anything in its place. */
const required = (what: string, policy: TriggerPort): TriggerPort =>
  typeof policy === "object" && policy !== null && "await" in policy ? policy : refuse(what, "a trigger", policy)
