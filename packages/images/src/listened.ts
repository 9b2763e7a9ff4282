/**
 * Listeners of progress, which are the caller's code.
 *
 * @module
 */
import { Effect } from "effect"

/**
 * A listener that is called from outside any fiber, where an exception would end the process. If it throws, it is not called
 * again, and `end` dies with the exception.
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
