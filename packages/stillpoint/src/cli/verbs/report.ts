/**
 * Runs as one page.
 *
 * @module
 */
import { basename } from "node:path"
import { writeWhole } from "@stillpoint/core"
import { Effect, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { reportPage } from "../../report/report.ts"
import { reportedRecording, reportedRun } from "../../report/ReportedRun.ts"
import { answer, write } from "../Output.ts"
import { json } from "../arguments.ts"
import { recordingIn } from "../inputFile.ts"
import { encryptionKey } from "../keys.ts"
import { sandboxesWith } from "../layers.ts"

const out = Flag.String("out").pipe(
  Flag.withDescription("Where to write the page (default: report.html); - is standard output"),
  Flag.withDefault("report.html")
)
const runs = Argument.String("run").pipe(
  Argument.variadic({ min: 1 }),
  Argument.withDescription(
    "A snapshot, a run id, or a file written by stillpoint record (a path with a slash, or ending in .jsonl); several are drawn side by side"
  )
)

/** The report's subject: a recording, a snapshot or a run. */
const drawn = Effect.fnUntraced(function* (from: string) {
  if (!from.includes("/") && !from.endsWith(".jsonl")) return yield* reportedRun(from)
  return reportedRecording(basename(from), yield* recordingIn(from))
})

export const reportCommand = Command.make(
  "report",
  { runs, out, encryptionKey, json },
  ({ encryptionKey, json, out, runs }) =>
    Effect.gen(function* () {
      const page = reportPage(yield* Effect.forEach(runs, drawn))
      const bytes = new TextEncoder().encode(page)
      if (out === "-") return yield* write(process.stdout, bytes)
      const sizeBytes = yield* writeWhole(out, Stream.make(bytes))
      yield* answer(json, { report: out, sizeBytes }, [out])
    }).pipe(sandboxesWith({ encryptionKey }))
).pipe(
  Command.withDescription(
    "Write a single HTML page that shows a boot, why it was captured at that moment, and its restores"
  ),
  Command.withExamples([
    { command: "stillpoint report web --out report.html" },
    { command: "stillpoint report web web:before ./boot.jsonl", description: "Several runs on one time axis" }
  ])
)
