import { Outcome, saidIn } from "./Outcome.ts"

/** More of what a test said is not kept. */
const mostKept = 40

/** Reads what `cargo test --quiet -- --show-output` prints, line by line. */
export class CargoOutput {
  readonly outcome = new Outcome()
  /** Which list is being printed: of tests that passed, or of those that failed, and what each said. */
  private list: "successes" | "failures" | null = null
  private test = ""
  private said: Array<string> = []

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
    const why = /^skipped: (.*)$/.exec(line)?.[1]
    if (why !== undefined && this.list === "successes") {
      // One that skips passes.
      this.outcome.skipped += 1
      this.outcome.passed -= 1
      this.outcome.skips.push(`${this.test}: ${why}`)
    }
    return this.list !== "successes"
  }

  private closeTest(): void {
    if (this.list === "failures" && this.test !== "") {
      const said = saidIn(this.said.join("\n"))
      const trace = said.findIndex((line) => /^(?:stack backtrace:|note: run with `RUST_BACKTRACE)/.test(line))
      this.outcome.failures.push({
        test: this.test,
        // Which thread it was says nothing; where it was does.
        said: (trace < 0 ? said : said.slice(0, trace)).map((line) =>
          line.replace(/^thread '.*' (?:\(\d+\) )?panicked/, "panicked")
        )
      })
    }
    this.test = ""
    this.said = []
  }
}
