/**
 * The snapshots of the store.
 *
 * @module
 */
import { guestTimeInWords, Snapshots } from "@stillpoint/core"
import { Effect } from "effect"
import { Command } from "effect/cli"
import { mebibytes } from "../../report/mebibytes.ts"
import { answer, table } from "../Output.ts"
import { json } from "../arguments.ts"
import { names } from "../layers.ts"
import { summary } from "../summary.ts"

export const lsCommand = Command.make("ls", { json }, ({ json }) =>
  Effect.gen(function* () {
    const all = yield* Snapshots.use(({ list }) => list)
    const rows = all.map(({ digest, manifest, names, problem, storedBytes }) => [
      names.length === 0 ? "-" : names.join(", "),
      digest.slice(0, 12),
      manifest === null ? "-" : guestTimeInWords(manifest.capture.atNanos),
      mebibytes(storedBytes),
      problem ?? "ok"
    ])
    yield* answer(json, { snapshots: all.map(summary) }, [
      ...(all.length === 0
        ? ["no snapshots yet; make one with: stillpoint bake kit:httpd --name web"]
        : table([["NAME", "DIGEST", "CAPTURED AT", "SIZE", "STATE"], ...rows]))
    ])
  }).pipe(names)
).pipe(Command.withDescription("List the snapshots"))
