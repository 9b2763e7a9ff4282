/**
 * Explains why a snapshot was taken when it was.
 *
 * @module
 */
import { type Snapshot, Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { explainSnapshot } from "../../sandbox/explainSnapshot.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { names } from "../layers.ts"

export const explainCommand = Command.make("explain", { reference, json }, ({ json, reference }) =>
  Effect.gen(function* () {
    const snapshot: Snapshot = yield* Snapshots.use(({ get }) =>
      get(reference, { allowUnvalidated: true, allowLocked: true })
    )
    const why = explainSnapshot(snapshot)
    const { digest } = snapshot.manifest
    yield* answer(json, { snapshot: digest, why }, [
      why ?? "it was taken by hand from a running sandbox, without a policy"
    ])
  }).pipe(names)
).pipe(Command.withDescription("Explain why a snapshot was taken at that moment"))
