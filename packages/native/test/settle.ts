/** Waits for what ends on the core's own threads, or with a collection of garbage. */
import { Effect } from "effect"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

setFlagsFromString("--expose-gc")
const collectGarbage: () => void = runInNewContext("gc")

/** Long after everything has settled on the busiest machine: what has not by then never will, and its test says what it found. */
const neverAfterMillis = 120_000

/** Turns that follow each other at once, and between two collections after the first few: one takes as long as many turns. */
const eager = 20

/**
 * Lets what was closed come to its end, turn by turn of the event loop, until `isDone`. How long that takes is the machine's affair:
 * threads without work linger for half a second, and one that ends is still the system's for a moment.
 */
export const settle = (isDone: () => boolean): Effect.Effect<void> =>
  Effect.promise(async () => {
    const begun = performance.now()
    for (let turn = 0; !isDone() && performance.now() - begun < neverAfterMillis; turn++) {
      // Objects that one collection releases may hold what the next one collects.
      if (turn < 3 || turn % eager === 0) collectGarbage()
      await new Promise((resolve) => (turn < eager ? setImmediate(resolve) : setTimeout(resolve, 5)))
    }
  })
