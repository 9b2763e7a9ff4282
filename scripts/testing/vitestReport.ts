import { relative } from "node:path"
import { Outcome, saidIn } from "./Outcome.ts"

/** The used part of the report that Vitest's reporter `json` writes. */
export interface VitestReport {
  readonly numPassedTests: number
  readonly testResults: ReadonlyArray<{
    readonly name: string
    readonly status: string
    /** Why the file could not be loaded, or a hook outside its tests failed. */
    readonly message?: string
    readonly assertionResults: ReadonlyArray<{
      readonly fullName: string
      readonly status: string
      /** One is `null` where the error could not be written down. */
      readonly failureMessages?: ReadonlyArray<string | null> | null
      /** The test's counts, for the end of the run. */
      readonly meta?: { readonly told?: string }
    }>
  }>
}

/** The results in a report; paths of files are relative to `root`. */
export const outcomeOf = (report: VitestReport, root: string): Outcome => {
  const outcome = new Outcome()
  outcome.passed = report.numPassedTests
  for (const file of report.testResults) {
    const name = relative(root, file.name)
    let failed = 0
    for (const { failureMessages, fullName, meta, status } of file.assertionResults) {
      if (meta?.told !== undefined) outcome.told.push(meta.told)
      if (status === "passed") continue
      if (status === "failed") {
        failed += 1
        const said = (failureMessages ?? []).flatMap((message) =>
          withoutStack(message ?? "an error that could not be written down", root)
        )
        outcome.failures.push({ test: `${name} › ${fullName}`, said })
      } else {
        outcome.skipped += 1
        outcome.skips.push(`${name}: ${fullName}`)
      }
    }
    if (file.status === "failed" && failed === 0)
      outcome.failures.push({ test: name, said: withoutStack(file.message ?? "", root) })
  }
  return outcome
}

/** An error and the first place of its stack that is ours. */
const withoutStack = (message: string, root: string): ReadonlyArray<string> => {
  const isFrame = (line: string): boolean => /^\s+at /.test(line)
  const lines = saidIn(message)
  const ours = lines.find((line) => isFrame(line) && line.includes(root) && !line.includes("node_modules"))
  return [
    ...lines.filter((line) => !isFrame(line)),
    ...(ours === undefined ? [] : [ours.trim().replaceAll(`file://${root}`, "").replaceAll(root, "")])
  ]
}
