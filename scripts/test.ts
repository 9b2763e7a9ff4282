/**
 * Runs every test, in Rust, in TypeScript and under emulated KVM, and ends with the skipped tests and reasons, the failures, and one count over all of
 * them.
 *
 * All suites run even if one fails; the exit code is 0 only if tests were executed and none failed.
 */
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync } from "node:fs"
import { delimiter, dirname } from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { CargoOutput } from "./testing/CargoOutput.ts"
import { Outcome, saidIn } from "./testing/Outcome.ts"
import { takeCase } from "./testing/caseLines.ts"
import { seedOf } from "./testing/seed.ts"
import { scratchIn } from "./testing/scratch.ts"
import { outcomeOf } from "./testing/vitestReport.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const quick = process.argv.includes("--typescript") ? "typescript" : process.argv.includes("--rust") ? "rust" : "all"

/** A command that prints nothing for this long hangs: no build or test takes half of it; at length they may take a night. */
const longestSilenceMillis = (process.argv.includes("--patient") ? 24 * 60 : 20) * 60_000

/** Maximum length of a command's standard error that is kept: the reason of a failure outside any test. */
const keptOfErrors = 20_000

interface Ended {
  readonly code: number
  /** The end of its standard error. */
  readonly errors: string
}

/** Runs a command in the repository's root and calls `onLine` for each line of its output, which is shown unless that says `false`. */
const run = (command: string, args: ReadonlyArray<string>, onLine: (line: string) => boolean | void): Promise<Ended> =>
  new Promise((resolve) => {
    // Programs that are run by name must use this Node, whatever the shell finds first.
    const path = `${dirname(process.execPath)}${delimiter}${process.env["PATH"] ?? ""}`
    // Passed-on output is coloured if a terminal shows it.
    const colour = process.stderr.isTTY ? { CARGO_TERM_COLOR: process.env["CARGO_TERM_COLOR"] ?? "always" } : {}
    const env = { ...process.env, ...colour, PATH: path }
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"], env })
    let errors = ""
    const complain = (text: string): void => {
      watch.refresh()
      errors = (errors + text).slice(-keptOfErrors)
      process.stderr.write(text)
    }
    const watch = setTimeout(() => {
      complain(`${command} ${args[0]}: nothing printed for ${longestSilenceMillis / 60_000} minutes; ended\n`)
      clearTimeout(watch)
      child.kill("SIGKILL")
    }, longestSilenceMillis)
    createInterface({ input: child.stdout }).on("line", (line) => {
      watch.refresh()
      if (onLine(line) !== false) process.stdout.write(`${line}\n`)
    })
    child.stderr.setEncoding("utf8").on("data", complain)
    child.on("error", (error) => {
      clearTimeout(watch)
      complain(`${command}: ${error.message}\n`)
      resolve({ code: 127, errors })
    })
    child.on("close", (code) => {
      clearTimeout(watch)
      resolve({ code: code ?? 1, errors })
    })
  })

/** The failure of a command outside any test: its errors, or its last output. */
const failureOf = (command: string, { errors }: Ended) => {
  const lines = saidIn(errors)
  const first = lines.findIndex((line) => /error/i.test(line))
  return { test: command, said: first < 0 ? lines.slice(-8) : lines.slice(first) }
}

/**
 * The hand-over between threads, under a scheduler that tries interleavings in place of the system's. Run for the whole
 * workspace, because a single package would have other features of its dependencies and rebuild everything.
 */
const handover = ["test", "--workspace", "--features", "stillpoint-host/shuttle", "--test", "handover", "--locked"]

const suites = [["test", "--workspace", "--locked", "--no-fail-fast"], handover]

/** Builds the tests in Rust, with its progress shown: it is what takes time on a fresh clone. Returns the failure, if there is one. */
const buildRust = async (): Promise<Outcome | undefined> => {
  for (const suite of suites) {
    const built = await run("cargo", [...suite, "--no-run"], () => {})
    if (built.code !== 0) {
      const outcome = new Outcome()
      outcome.failures.push(failureOf(`cargo ${suite.join(" ")}: not built`, built))
      return outcome
    }
  }
  return undefined
}

/** Runs the tests in Rust. Their output comes in one piece, because other tests print meanwhile. */
const rust = async (): Promise<Outcome> => {
  const outcome = new Outcome()
  const printed: Array<string> = []
  for (const suite of suites) {
    // The output of passing tests is requested, because a test that skips passes; it is shown only at the end.
    const options = ["--quiet", ...(suite.includes("--") ? [] : ["--"]), "--show-output"]
    const output = new CargoOutput()
    const ended = await run("cargo", [...suite, ...options], (line) => {
      if (output.take(line)) printed.push(line)
      return false
    })
    outcome.add(output.outcome)
    // A test that ends its process, for instance by a signal, fails without having been counted.
    const ends = saidIn(ended.errors).filter((line) => line.includes("(signal:"))
    if (ends.length > 0 || (ended.code !== 0 && output.outcome.failures.length === 0))
      outcome.failures.push({
        ...failureOf(["cargo", ...suite].join(" "), ended),
        ...(ends.length > 0 ? { said: ends } : {})
      })
  }
  process.stdout.write(`${printed.join("\n")}\n`)
  return outcome
}

/** A guest of an amd64 image under KVM, in a QEMU that emulates it; once it has passed, again only where its files differ. */
const kvm = async (): Promise<Outcome> => {
  const outcome = new Outcome()
  const ended = await run("scripts/kvm/suite.sh", ["--unless-passed", "addon"], (line) => takeCase(outcome, line))
  if (ended.code !== 0 && outcome.failures.length === 0) outcome.failures.push(failureOf("scripts/kvm/suite.sh", ended))
  return outcome
}

const typescript = async (): Promise<Outcome> => {
  const report = `${root}.cache/vitest.json`
  mkdirSync(`${root}.cache`, { recursive: true })
  rmSync(report, { force: true })
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`]
  const ended = await run(`${root}node_modules/.bin/vitest`, ["run", ...reporters], () => {})
  let outcome = new Outcome()
  try {
    outcome = outcomeOf(JSON.parse(readFileSync(report, "utf8")), root)
  } catch {
    outcome.failures.push(failureOf("vitest run: wrote no report", ended))
  }
  // An unhandled error fails without a failed test.
  if (ended.code !== 0 && outcome.failures.length === 0) outcome.failures.push(failureOf("vitest run", ended))
  return outcome
}

// Leftovers of tests, including killed ones, are removed at the end of the run.
const scratch = scratchIn(`${root}.cache`)
process.env["TMPDIR"] = scratch.directory
if (scratch.why !== "") process.stdout.write(`${scratch.why}: they write to ${scratch.directory}\n`)
process.on("exit", () => rmSync(scratch.directory, { recursive: true, force: true }))
const seed = seedOf(process.env, root)
process.env["STILLPOINT_SEED"] = String(seed.value)
process.env["PROPTEST_RNG_SEED"] = String(seed.value)
const repeated = `properties try the cases of seed ${seed.value}, from ${seed.from}: STILLPOINT_SEED=${seed.value} make test repeats them\n`
process.stdout.write(repeated)
const total = new Outcome()
const unbuilt = quick === "typescript" ? undefined : await buildRust()
// All at once: none keeps all cores busy to its end.
const outcomes = await Promise.all([
  quick === "typescript" ? new Outcome() : (unbuilt ?? rust()),
  quick === "rust" ? new Outcome() : typescript(),
  quick === "all" ? kvm() : new Outcome()
])
for (const outcome of outcomes) total.add(outcome)
if (!total.isGood) process.stdout.write(repeated)
process.stdout.write(total.report())
process.exitCode = total.isGood ? 0 : 1
