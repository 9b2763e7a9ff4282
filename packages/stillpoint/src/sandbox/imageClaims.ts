/**
 * Claims on the images of a store, by processes that put them there for a snapshot that is not kept yet.
 *
 * ```text
 * <home>/images/<image>                    an image, or what a killed process left of one
 * <home>/images/<image>.<id>.partial       an image that is being copied
 * <home>/images/<image>.<id>.lock          held by a process that needs the image, from before it puts it there
 * ```
 *
 * @module
 */
import { basename, dirname, join } from "node:path"
import { DurableFiles } from "@stillpoint/core"
import { Effect } from "effect"

const lockForm = /^[0-9a-f]{32}\.lock$/

/** Claims an image, which may not be there yet, until the scope closes; returns the claim. Its folder exists. */
export const claimImage = Effect.fnUntraced(
  function* (path: string) {
    const files = yield* DurableFiles
    for (;;) {
      const lock = `${path}.${yield* files.uniqueName}.lock`
      yield* Effect.addFinalizer(() => Effect.ignore(files.removeTree(lock)))
      // A process that prunes may hold it between its creation and its lock; then another one is made.
      if ((yield* files.hold(lock, { create: true })) === "held") return lock
    }
  },
  // Nobody else makes files of a name that is made up here.
  Effect.catchTag("FileUnfit", Effect.die)
)

/** Whether a running process claims an image, by another claim than `own`. Removes the claims of processes that ended. */
export const isClaimed = Effect.fnUntraced(function* (path: string, own?: string) {
  const files = yield* DurableFiles
  const folder = dirname(path)
  const prefix = `${basename(path)}.`
  let claimed = false
  for (const name of yield* files.list(folder)) {
    if (!name.startsWith(prefix) || !lockForm.test(name.slice(prefix.length))) continue
    const lock = join(folder, name)
    if (lock === own) continue
    const isGone = Effect.scoped(
      Effect.gen(function* () {
        if ((yield* files.hold(lock, { create: false })) === "taken") return false
        yield* files.removeTree(lock)
        return true
      })
    )
    if (!(yield* isGone)) claimed = true
  }
  return claimed
})
