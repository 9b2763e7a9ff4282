/**
 * What is left of pulls that were cut.
 *
 * @module
 */
import { join } from "node:path"
import { DurableFiles } from "@stillpoint/core"
import { Effect } from "effect"
import { pullsOf } from "./pullSnapshot.ts"

const lockForm = /^[0-9a-f]{64}\.lock$/

/** Removes what has come of artifacts that nobody is pulling now. */
export const clearPulls = Effect.fn("clearPulls")(function* (home: string) {
  const files = yield* DurableFiles
  const folder = pullsOf(home)
  if ((yield* files.inspect(folder))?.kind !== "directory") return
  for (const name of yield* files.list(folder)) {
    if (!lockForm.test(name)) continue
    const lock = join(folder, name)
    yield* Effect.scoped(
      Effect.gen(function* () {
        if ((yield* files.hold(lock, { create: false })) === "taken") return
        yield* files.removeTree(lock.replace(/\.lock$/, ""))
        yield* files.removeTree(lock)
      })
    )
  }
})
