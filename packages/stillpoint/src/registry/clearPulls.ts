/**
 * Removes leftovers of interrupted pulls.
 *
 * @module
 */
import { join } from "node:path"
import { DurableFiles } from "@stillpoint/core"
import { Effect } from "effect"
import { pullsOf } from "./beginPull.ts"

const pullForm = /^([0-9a-f]{64})(?:\.lock)?$/

/** Removes the pieces of artifacts that no process is pulling now. */
export const clearPulls = Effect.fn("clearPulls")(function* (home: string) {
  const files = yield* DurableFiles
  const folder = pullsOf(home)
  if ((yield* files.inspect(folder))?.kind !== "directory") return
  // Also one whose lock alone is gone, as after a loss of power.
  const pulls = new Set((yield* files.list(folder)).flatMap((name) => pullForm.exec(name)?.[1] ?? []))
  for (const pull of pulls) {
    const lock = join(folder, `${pull}.lock`)
    yield* Effect.scoped(
      Effect.gen(function* () {
        if ((yield* files.hold(lock, { create: true })) !== "held") return
        yield* files.removeTree(join(folder, pull))
        yield* files.removeTree(lock)
      })
    )
  }
})
