/**
 * How a finished snapshot comes to stand at its target, and what is done about a replacement that was cut off.
 *
 * ```text
 *  nothing at the target    rename                        the snapshot is there or is not
 *  an old snapshot there    exchange                      old or new, at every moment
 *                           without it: rename aside,     old or new after `undoReplacement`, which every
 *                           rename into place             open and sweep begins with
 * ```
 *
 * @module
 */
import { basename, dirname, join } from "node:path"
import { Effect } from "effect"
import type { DurableFilesShape, FileFault } from "./DurableFiles.ts"
import { leftoverPath, parseLeftover, type PublisherIdentity } from "./Leftovers.ts"
import { TargetExists } from "./SnapshotErrors.ts"

/** Directories that this process is busy with: its own id in a name says nothing when process ids are used again. */
export const activeStagings = new Set<string>()

/** Whether the owner of a leftover is still busy with it. */
export const isInUse = (publisher: PublisherIdentity, ownerPid: number, path: string): boolean =>
  ownerPid === publisher.pid ? activeStagings.has(path) : publisher.isAlive(ownerPid)

/** Moves directories for one publisher. */
export const makePlacement = (files: DurableFilesShape, publisher: PublisherIdentity) => {
  /** Makes a step durable, or undoes it: what failed has left the target as it was. */
  const durably = (target: string, undo: Effect.Effect<unknown, FileFault>) =>
    Effect.tapError(files.flushDirectory(dirname(target)), () => Effect.ignore(undo))

  const renameOver = Effect.fnUntraced(function* (directory: string, target: string) {
    const aside = leftoverPath(target, "replaced", publisher.pid, yield* files.uniqueSuffix)
    activeStagings.add(aside)
    const back = files.rename(aside, target)
    yield* files
      .rename(target, aside)
      .pipe(
        Effect.andThen(files.rename(directory, target).pipe(Effect.tapError(() => Effect.ignore(back)))),
        Effect.andThen(durably(target, Effect.andThen(files.rename(target, directory), back))),
        Effect.andThen(Effect.ignore(files.removeTree(aside))),
        Effect.ensuring(Effect.sync(() => activeStagings.delete(aside)))
      )
  })

  /** Puts a finished directory at its target, durably. With `replace`, what stands there goes. */
  const moveIntoPlace = Effect.fnUntraced(function* (directory: string, target: string, replace: boolean) {
    if ((yield* files.inspect(target)) === null) {
      yield* files.rename(directory, target)
      yield* durably(target, files.rename(target, directory))
    } else if (!replace) {
      return yield* new TargetExists({ path: target })
    } else if (yield* files.exchange(directory, target)) {
      // The old snapshot has the name of the staging directory now, which goes with its scope or a sweep.
      yield* durably(target, files.exchange(directory, target))
    } else {
      yield* renameOver(directory, target)
    }
  }, Effect.uninterruptible)

  /** Puts a snapshot back that a crashed replacement had moved aside, when nothing stands at its target. */
  const undoReplacement = Effect.fnUntraced(function* (target: string) {
    const parent = dirname(target)
    if ((yield* files.inspect(parent))?.kind !== "directory") return
    for (const name of yield* files.list(parent)) {
      const leftover = parseLeftover(name)
      if (leftover?.kind !== "replaced" || leftover.target !== basename(target)) continue
      const aside = join(parent, name)
      if (isInUse(publisher, leftover.ownerPid, aside)) continue
      yield* files.rename(aside, target)
      yield* files.flushDirectory(parent)
      return
    }
  })

  return { moveIntoPlace, undoReplacement }
}
