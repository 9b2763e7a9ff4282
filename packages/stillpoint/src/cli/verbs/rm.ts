/**
 * A name less, and a snapshot with its last one.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { names } from "../layers.ts"

export const rmCommand = Command.make("rm", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const removed = yield* Snapshots.use((snapshots) => snapshots.remove(reference))
    const { digest, isGone } = removed
    yield* answer(json, { snapshot: digest, names: removed.names, removed: isGone }, [
      isGone ? `${reference}: removed` : `${reference}: name removed; the snapshot still has other names`
    ])
  }).pipe(names)
).pipe(
  Command.withDescription(
    "Remove a name, and the snapshot too if that was its last; given a digest, remove the snapshot and all its names"
  )
)
