import { Effect } from "effect"

/** Wakes those who wait for a journal to grow. A wake-up says only "look again". */
export interface HeadSignal {
  /** Wakes all waiters. */
  readonly raise: () => void
  /** Number of raises so far: read it before looking, hand it to {@link HeadSignal.raisedSince}. */
  readonly generation: () => number
  /** Returns at once if there was a raise after the given generation, else at the next one. */
  readonly raisedSince: (generation: number) => Effect.Effect<void>
}

/** A signal that has not been raised. */
export const makeHeadSignal = (): HeadSignal => {
  let generation = 0
  const waiting = new Set<() => void>()
  return {
    raise: () => {
      generation += 1
      const woken = [...waiting]
      waiting.clear()
      for (const wake of woken) wake()
    },
    generation: () => generation,
    raisedSince: (since) =>
      Effect.callback<void>((resume) => {
        if (generation !== since) {
          resume(Effect.void)
          return
        }
        const wake = (): void => resume(Effect.void)
        waiting.add(wake)
        return Effect.sync(() => void waiting.delete(wake))
      })
  }
}
