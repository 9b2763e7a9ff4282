/**
 * One more name.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { checkedOptions, SnapshotName } from "../../sandbox/checkedOptions.ts"
import { answer } from "../Output.ts"
import { json, reference, replace } from "../arguments.ts"
import { names } from "../layers.ts"
import { summary } from "../summary.ts"

export const tagCommand = Command.make(
  "tag",
  { reference, name: Argument.String("name").pipe(Argument.withDescription("NAME or NAME:TAG")), replace, json },
  ({ json, name, reference, replace }) =>
    Effect.gen(function* () {
      yield* checkedOptions("tag", Schema.Struct({ name: SnapshotName }), { name })
      const found = yield* Snapshots.use((snapshots) => snapshots.tag(reference, name, { replace }))
      yield* answer(json, summary(found), [found.names.join(", ")])
    }).pipe(names)
).pipe(Command.withDescription("Give a snapshot another name"))
