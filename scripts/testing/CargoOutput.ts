import { Outcome, saidIn } from "./Outcome.ts"

/** Maximum number of lines of a test's output that are kept. */
const mostKept = 40

/** Reads what `cargo test --quiet -- --show-output` prints, line by line. */
export class CargoOutput {
  readonly outcome = new Outcome()
  /** The list that is being printed: of passed tests, or of failed ones, with their output. */
  private list: "successes" | "failures" | null = null
  private test = ""
  private said: Array<string> = []
  /** Whether the test said that it skips all or a part. */
  private isSkipped = false
  /** Whether it printed its counts, and so has done at least a part. */
  private hasCounted = false

  /** Takes in a line; whether it is to be shown: what passing tests say is not. */
  take(line: string): boolean {
    if (line === "successes:" || line === "failures:") {
      this.closeTest()
      this.list = line === "successes:" ? "successes" : "failures"
    }
    const header = /^---- (.*) stdout ----$/.exec(line)
    if (header !== null) {
      this.closeTest()
      this.test = header[1] ?? ""
    } else if (this.list === "failures" && this.test !== "" && this.said.length < mostKept) this.said.push(line)
    const result = /^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/.exec(line)
    if (result !== null) {
      this.closeTest()
      this.list = null
      this.outcome.passed += Number(result[1])
      this.outcome.skipped += Number(result[3])
    }
    if (this.list === "successes") {
      const why = /^skipped: (.*)$/.exec(line)?.[1]
      if (why !== undefined) this.outcome.skips.push(`${this.test}: ${why}`)
      const told = /^counted: (.*)$/.exec(line)?.[1]
      if (told !== undefined) this.outcome.told.push(told)
      this.isSkipped ||= why !== undefined
      this.hasCounted ||= told !== undefined
    }
    return this.list !== "successes"
  }

  private closeTest(): void {
    if (this.list === "failures" && this.test !== "") {
      const said = saidIn(this.said.join("\n"))
      const trace = said.findIndex((line) => /^(?:stack backtrace:|note: run with `RUST_BACKTRACE)/.test(line))
      this.outcome.failures.push({
        test: this.test,
        // The thread does not matter; the place does.
        said: (trace < 0 ? said : said.slice(0, trace)).map((line) =>
          line.replace(/^thread '.*' (?:\(\d+\) )?panicked/, "panicked")
        )
      })
    }
    // A skipped test passes.
    if (this.isSkipped && !this.hasCounted) {
      this.outcome.skipped += 1
      this.outcome.passed -= 1
    }
    this.test = ""
    this.said = []
    this.isSkipped = false
    this.hasCounted = false
  }
}
