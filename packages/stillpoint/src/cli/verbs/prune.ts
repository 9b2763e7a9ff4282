/**
 * Removes files that can be made again.
 *
 * @module
 */
import { recoverRuns, type Removed, Snapshots } from "@stillpoint/core"
import { Images } from "@stillpoint/images"
import { Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { clearPulls } from "../../registry/clearPulls.ts"
import { cacheRepository } from "../../sandbox/checkedOptions.ts"
import { pruneKeptImages } from "../../sandbox/keptImages.ts"
import { answer } from "../Output.ts"
import { json } from "../arguments.ts"
import { sandboxes } from "../layers.ts"

const dryRun = Flag.Boolean("dry-run").pipe(
  Flag.withDescription("Show what would be removed without removing it"),
  Flag.withDefault(false)
)

const goneOrNot = { onSuccess: ({ isGone }: Removed) => isGone, onFailure: () => false }

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

export const pruneCommand = Command.make("prune", { dryRun, json }, ({ dryRun, json }) =>
  Effect.gen(function* () {
    const snapshots = yield* Snapshots
    const images = yield* Images
    const removed: Array<{ readonly snapshot: string; readonly storedBytes: number }> = []
    for (const { children, digest, names, storedBytes } of yield* snapshots.list) {
      const isMadeAgain = names.length > 0 && names.every((name) => name.startsWith(`${cacheRepository}:`))
      if (!isMadeAgain || children.length > 0) continue
      let isGone = dryRun
      // A snapshot that got another name or a child meanwhile stays.
      if (!dryRun) for (const name of names) isGone = yield* Effect.match(snapshots.remove(name), goneOrNot)
      if (isGone) removed.push({ snapshot: digest, storedBytes })
    }
    if (!dryRun) yield* Effect.andThen(snapshots.clear, clearPulls(snapshots.home))
    const ended = dryRun ? [] : (yield* recoverRuns).ended
    // Images of the store first: a file that cache and store share takes space until both have removed it.
    const unread = yield* pruneKeptImages({ dryRun })
    const unused = dryRun ? (yield* images.list).filter(({ inUse }) => !inUse) : yield* images.prune()
    const sizes = new Map([...unread, ...unused].map(({ digest, sizeBytes }) => [digest, sizeBytes]))
    const gone = [...sizes].map(([image, storedBytes]) => ({ image, storedBytes }))
    const storedBytes = [...removed, ...gone].reduce((sum, one) => sum + one.storedBytes, 0)
    const runs = ended.map(({ runId }) => runId)
    yield* answer(json, { dryRun, snapshots: removed, images: gone, runs, storedBytes }, [
      `${counted(removed.length, "snapshot")} and ${counted(gone.length, "image")} ${dryRun ? "would be removed" : "removed"}: ${mebibytes(storedBytes)}`,
      ...runs.map((runId) => `ended run ${runId}, whose process had been killed`)
    ])
  }).pipe(sandboxes)
).pipe(
  Command.withDescription(
    "Remove snapshots cached by run and up, cached images, images that no snapshot uses, and unfinished pulls, which are all made again on demand; and end runs whose process was killed, and remove what they left unfinished"
  )
)
