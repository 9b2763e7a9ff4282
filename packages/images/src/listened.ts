/**
 * Listeners of progress, which are the caller's code.
 *
 * @module
 */
import { Effect } from "effect"

/**
 * A listener that is called from outside of any program, where what it throws would end the process: it is called no more, and `end`
 * dies of it.
 */
export const listened = <A>(listener: (progress: A) => void) => {
  let thrown: { readonly cause: unknown } | undefined
  return {
    tell: (progress: A): void => {
      if (thrown !== undefined) return
      try {
        listener(progress)
      } catch (cause) {
        thrown = { cause }
      }
    },
    end: Effect.suspend(() => (thrown === undefined ? Effect.void : Effect.die(thrown.cause)))
  }
}
