/**
 * Everything that is known of a snapshot.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { names } from "../layers.ts"
import { summary } from "../summary.ts"

export const inspectCommand = Command.make("inspect", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const found = yield* Snapshots.use((snapshots) => snapshots.inspect(reference))
    const { directory, manifest } = found
    const { digest: _digest, files, ...said } = manifest ?? { digest: null, files: [] }
    const signedBy = yield* Snapshots.use((snapshots) => snapshots.signers(reference))
    const value = { ...summary(found), directory, ...said, signedBy, files }
    yield* answer(json, value, [JSON.stringify(value, null, 2)])
  }).pipe(names)
).pipe(Command.withDescription("Show everything known about a snapshot"))
