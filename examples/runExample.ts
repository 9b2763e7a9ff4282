/**
 * Runs an example as a program of its own.
 *
 * @module
 */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"

/** The output lines of the example beside a test; a failed example is an error with its output. */
export const runExample = async (test: ImportMeta, ...args: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const program = fileURLToPath(new URL("./main.ts", test.url))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--conditions=stillpoint-source", "--no-warnings=ExperimentalWarning", program, ...args],
    { maxBuffer: 1 << 26 }
  )
  return stdout.trimEnd().split("\n")
}
