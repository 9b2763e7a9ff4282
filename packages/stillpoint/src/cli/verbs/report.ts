/**
 * A snapshot as one page.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { snapshotReport } from "../../report/snapshotReport.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { sandboxes } from "../layers.ts"
import { writeFileWhole } from "../outputFile.ts"

const out = Flag.String("out").pipe(
  Flag.withDescription("The page that is written; report.html if absent"),
  Flag.withDefault("report.html")
)

export const reportCommand = Command.make("report", { reference, out, json }, ({ json, out, reference }) =>
  Effect.gen(function* () {
    const page = yield* snapshotReport(reference)
    const sizeBytes = yield* writeFileWhole(out, Stream.make(new TextEncoder().encode(page)))
    yield* answer(json, { report: out, sizeBytes }, [out])
  }).pipe(sandboxes)
).pipe(Command.withDescription("Write one page that shows a snapshot, its boot and its run"))
