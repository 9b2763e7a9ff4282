/**
 * Runs in progress in this process.
 *
 * @module
 */
import { Effect } from "effect"

const active = new Set<string>()

/** Marks a run as in progress while an effect lasts. */
export const whileActive = <A, E, R>(runId: string, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    active.add(runId)
    return effect
  }).pipe(Effect.ensuring(Effect.sync(() => void active.delete(runId))))

/** Whether a run is in progress in this process. */
export const isActive = (runId: string): boolean => active.has(runId)
