/**
 * One name less.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Argument, Command } from "effect/cli"
import { answer } from "../Output.ts"
import { json } from "../arguments.ts"
import { names } from "../layers.ts"

export const untagCommand = Command.make(
  "untag",
  { name: Argument.String("name").pipe(Argument.withDescription("NAME or NAME:TAG")), json },
  ({ json, name }) =>
    Effect.gen(function* () {
      const { digest } = yield* Snapshots.use((snapshots) => snapshots.inspect(name))
      yield* Snapshots.use((snapshots) => snapshots.untag(name))
      const { names } = yield* Snapshots.use((snapshots) => snapshots.inspect(digest))
      yield* answer(json, { snapshot: digest, names }, [`${name}: name removed; the snapshot ${digest} stays`])
    }).pipe(names)
).pipe(Command.withDescription("Remove a name but keep its snapshot, under its other names or its digest"))
