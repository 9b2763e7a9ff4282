/**
 * A snapshot as one page.
 *
 * @module
 */
import { writeFile } from "node:fs/promises"
import { Effect, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { codeOf } from "../../archive/ArchiveErrors.ts"
import { snapshotReport } from "../../report/snapshotReport.ts"
import { answer } from "../Output.ts"
import { json, reference } from "../arguments.ts"
import { sandboxes } from "../layers.ts"

/** The page could not be written. */
export class ReportNotWritten extends Schema.TaggedError<ReportNotWritten>()("ReportNotWritten", {
  path: Schema.String,
  code: Schema.String
}) {
  override get message(): string {
    return `${this.path} could not be written: ${this.code}`
  }
}

const out = Flag.String("out").pipe(
  Flag.withDescription("The page that is written; report.html if absent"),
  Flag.withDefault("report.html")
)

export const reportCommand = Command.make("report", { reference, out, json }, ({ json, out, reference }) =>
  Effect.gen(function* () {
    const page = yield* snapshotReport(reference)
    yield* Effect.tryPromise({
      try: () => writeFile(out, page),
      catch: (cause) => new ReportNotWritten({ path: out, code: codeOf(cause) })
    })
    yield* answer(json, { report: out, sizeBytes: Buffer.byteLength(page) }, [out])
  }).pipe(sandboxes)
).pipe(Command.withDescription("Write one page that shows a snapshot, its boot and its run"))
