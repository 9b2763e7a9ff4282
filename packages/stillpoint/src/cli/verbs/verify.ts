/**
 * Checks that every byte of a snapshot is unchanged.
 *
 * @module
 */
import { Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { encryptionKey, requireKey } from "../keys.ts"
import { disksIn } from "../../sandbox/imageSpec.ts"
import { sandboxesWith } from "../layers.ts"
import { timed } from "../workLine.ts"

export const verifyCommand = Command.make(
  "verify",
  { reference, requireKey, encryptionKey, json },
  ({ encryptionKey, json, reference, requireKey }) =>
    Effect.gen(function* () {
      const snapshots = yield* Snapshots
      // The image is in this store, wherever the snapshot was captured.
      const { storedBytes } = yield* snapshots.inspect(reference)
      const found = yield* timed(
        json,
        `verifying ${mebibytes(storedBytes)} of ${reference}`,
        snapshots.verify(reference, { diskSources: disksIn(snapshots.home) })
      )
      yield* answer(json, { snapshot: found.digest, ok: true, storedBytes: found.storedBytes }, [
        `${reference}: ok, ${mebibytes(found.storedBytes)} read and verified against ${found.digest.slice(0, 12)}`
      ])
    }).pipe(sandboxesWith({ json, requireKey, encryptionKey }))
).pipe(Command.withDescription("Verify every byte of a snapshot"))
