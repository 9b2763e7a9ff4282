/**
 * Runs every test, Rust and TypeScript, and closes with what was skipped and why, and with one count over all of them.
 *
 * Both suites run even if the first fails; the exit code is 0 only if tests were executed and none failed.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { delimiter, dirname, relative } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"

interface Count {
  passed: number
  failed: number
  skipped: number
}

/** What was skipped, in the words of who skipped it. */
const skips: Array<string> = []

const root = fileURLToPath(new URL("..", import.meta.url))
const quick = process.argv.includes("--typescript") ? "typescript" : process.argv.includes("--rust") ? "rust" : "all"

/** A command that prints nothing for this long hangs: no build or test takes half of it; at length they may take a night. */
const longestSilenceMillis = (process.argv.includes("--patient") ? 24 * 60 : 20) * 60_000

/** Runs a command in the repository's root and calls `onLine` for each line of its output, which is shown unless that says `false`. */
const run = (command: string, args: ReadonlyArray<string>, onLine: (line: string) => boolean | void): Promise<number> =>
  new Promise((resolve) => {
    // The programs that are run by name must be of this Node, whatever the shell finds first.
    const path = `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`
    const env = { ...process.env, PATH: path }
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "inherit"], env })
    const watch = setTimeout(() => {
      process.stderr.write(
        `${command} ${args[0]}: nothing printed for ${longestSilenceMillis / 60_000} minutes; ended\n`
      )
      child.kill("SIGKILL")
    }, longestSilenceMillis)
    createInterface({ input: child.stdout }).on("line", (line) => {
      watch.refresh()
      if (onLine(line) !== false) process.stdout.write(`${line}\n`)
    })
    child.on("error", (error) => {
      clearTimeout(watch)
      process.stderr.write(`${command}: ${error.message}\n`)
      resolve(127)
    })
    child.on("close", (code) => {
      clearTimeout(watch)
      resolve(code ?? 1)
    })
  })

/** The hand-over between threads, under a scheduler that tries interleavings in the place of the system's. */
const handover = ["test", "--package", "stillpoint-host", "--features", "shuttle", "--test", "handover", "--locked"]

const rust = async (): Promise<Count> => {
  const count = { passed: 0, failed: 0, skipped: 0 }
  const suites = [["test", "--workspace", "--locked", "--no-fail-fast"], handover]
  for (const suite of suites) {
    // Built first, with its progress shown: it is what takes time on a fresh clone.
    if ((await run("cargo", [...suite, "--no-run"], () => {})) !== 0) return { ...count, failed: count.failed + 1 }
    const failedBefore = count.failed
    // What passing tests say is asked for, because one that skips passes; it is shown at the end only.
    const options = ["--quiet", ...(suite.includes("--") ? [] : ["--"]), "--show-output"]
    let test = ""
    let isOfPassed = false
    const code = await run("cargo", [...suite, ...options], (line) => {
      if (line === "successes:") isOfPassed = true
      if (line === "failures:" || line.startsWith("test result:")) isOfPassed = false
      test = /^---- (.*) stdout ----$/.exec(line)?.[1] ?? test
      const why = /^skipped: (.*)$/.exec(line)?.[1]
      if (why !== undefined) {
        count.skipped += 1
        count.passed -= 1
        skips.push(`${test}: ${why}`)
      }
      if (isOfPassed) return false
      const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line)
      if (result === null) return true
      count.passed += Number(result[1])
      count.failed += Number(result[2])
      count.skipped += Number(result[3])
      return true
    })
    if (code !== 0 && count.failed === failedBefore) count.failed += 1
  }
  return count
}

interface VitestFile {
  readonly name: string
  readonly assertionResults: ReadonlyArray<{ readonly fullName: string; readonly status: string }>
}

const typescript = async (): Promise<Count> => {
  const report = `${root}.cache/vitest.json`
  mkdirSync(`${root}.cache`, { recursive: true })
  rmSync(report, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const code = await run(`${root}node_modules/.bin/vitest`, ["run", ...reporters], () => {})
  const count = { passed: 0, failed: 0, skipped: 0 }
  try {
    const summary = JSON.parse(readFileSync(report, "utf8"))
    count.passed = summary.numPassedTests
    count.failed = summary.numFailedTests
    count.skipped = summary.numPendingTests + summary.numTodoTests
    for (const file of summary.testResults as ReadonlyArray<VitestFile>) {
      for (const { fullName, status } of file.assertionResults) {
        if (status !== "passed" && status !== "failed") skips.push(`${relative(root, file.name)}: ${fullName}`)
      }
    }
  } catch {
    count.failed = 1
  }
  // A suite that could not be loaded, or an unhandled error, fails without a failed test.
  if (code !== 0 && count.failed === 0) count.failed = 1
  return count
}

const counts = [quick === "typescript" ? undefined : await rust(), quick === "rust" ? undefined : await typescript()]
const total = { passed: 0, failed: 0, skipped: 0 }
for (const count of counts) {
  if (count === undefined) continue
  total.passed += count.passed
  total.failed += count.failed
  total.skipped += count.skipped
}
/** Many tests of a file that lack the same are one line. */
const byReason = Map.groupBy(
  skips,
  (skip) => /^[^:]*: .*\(skipped: .*\)/.exec(skip)?.[0].replace(/: .*\(/, ": (") ?? skip
)
if (skips.length > 0) process.stdout.write("\nskipped:\n")
for (const [reason, each] of byReason) {
  process.stdout.write(`  ${each.length === 1 ? each[0] : `${reason} × ${each.length}`}\n`)
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`)
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0
