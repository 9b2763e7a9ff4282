/**
 * Waits for a lock that another owner holds for a few file operations.
 *
 * @module
 */
import { Clock, Effect, type Scope } from "effect"
import type { DurableFilesShape } from "./DurableFiles.ts"
import type { FileFault, FileUnfit } from "./FileErrors.ts"

/** Maximum wait for another owner's few file operations. */
const longestWaitMillis = 30_000

/**
 * Time between attempts to take a lock: doubled each time, up to this maximum. An attempt takes time on the event loop that a
 * holder in the same process needs to finish.
 */
const pauseMillis = { first: 2, most: 32 }

/** Holds the lock at `path`, which is made, until the scope closes; fails with `busy` where it was held by others for 30 s. */
export const waitToHold = <E>(
  files: DurableFilesShape,
  path: string,
  busy: (waitedMillis: number) => E
): Effect.Effect<void, E | FileFault | FileUnfit, Scope.Scope> =>
  Effect.gen(function* () {
    const begun = yield* Clock.currentTimeMillis
    let pause = pauseMillis.first
    while ((yield* files.hold(path, { create: true })) !== "held") {
      const waitedMillis = (yield* Clock.currentTimeMillis) - begun
      if (waitedMillis > longestWaitMillis) return yield* Effect.fail(busy(waitedMillis))
      yield* Effect.sleep(pause)
      pause = Math.min(2 * pause, pauseMillis.most)
    }
  })
