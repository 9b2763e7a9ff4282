/**
 * The results of the tests and their report: the skipped ones, the failures, one count.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util"

/** A test that failed, or a program that ran tests and failed without one. */
export interface Failure {
  /** The test by name, with the file where that is known. */
  readonly test: string
  /** The first lines of its output about it. */
  readonly said: ReadonlyArray<string>
}

/** The results of some tests. */
export class Outcome {
  passed = 0
  skipped = 0
  /** The skipped tests, in their own words. */
  readonly skips: Array<string> = []
  readonly failures: Array<Failure> = []
  /** The tests' counts. */
  readonly told: Array<string> = []

  /** Takes in another. */
  add(other: Outcome): void {
    this.passed += other.passed
    this.skipped += other.skipped
    this.skips.push(...other.skips)
    this.failures.push(...other.failures)
    this.told.push(...other.told)
  }

  /** Whether tests were executed and none failed. */
  get isGood(): boolean {
    return this.failures.length === 0 && this.passed > 0
  }

  /** The last lines of a run, so that the end of a log shows which tests failed, and how. */
  report(): string {
    const counted = this.told.length === 0 ? [] : ["", "counted:", ...this.told.map((line) => `  ${short(line)}`)]
    const lines = [...counted, ...toldSkips(this.skips), ...toldFailures(this.failures)]
    const count = `${this.passed} passed, ${this.failures.length} failed, ${this.skipped} skipped`
    return `${[...lines, "", count].join("\n")}\n`
  }
}

/** Many tests of a file that lack the same are one line. */
const toldSkips = (skips: ReadonlyArray<string>): ReadonlyArray<string> => {
  if (skips.length === 0) return []
  const byReason = Map.groupBy(
    skips,
    (skip) => /^[^:]*: .*\(skipped: .*\)/.exec(skip)?.[0].replace(/: .*\(/, ": (") ?? skip
  )
  return [
    "",
    "skipped:",
    ...[...byReason].map(([reason, each]) => `  ${each.length === 1 ? each[0] : `${reason} × ${each.length}`}`)
  ]
}

/** The end of a log that everybody reads, less the lines around the failures. */
const mostLines = 36
const mostLinesOfOne = 8
const longestLine = 240

const toldFailures = (failures: ReadonlyArray<Failure>): ReadonlyArray<string> => {
  if (failures.length === 0) return []
  // Every name comes before any second line of another's.
  const named = failures.slice(0, mostLines - (failures.length > mostLines ? 1 : 0))
  let left = mostLines - named.length
  const lines = named.flatMap(({ said, test }, index) => {
    const share = Math.min(mostLinesOfOne, Math.floor(left / (named.length - index)))
    const shown = said.slice(0, share)
    left -= shown.length
    return [`  ${short(test)}`, ...shown.map((line) => `    ${short(line)}`)]
  })
  const unnamed = failures.length - named.length
  return ["", "failed:", ...lines, ...(unnamed === 0 ? [] : [`  and ${unnamed} more, above`])]
}

const short = (line: string): string => (line.length > longestLine ? `${line.slice(0, longestLine)}…` : line)

/** The lines of a text that say something, without colours and control characters. */
export const saidIn = (text: string): ReadonlyArray<string> =>
  stripVTControlCharacters(text)
    .split("\n")
    .map((line) => line.replaceAll(/(?!\t)\p{Cc}/gu, "").trimEnd())
    .filter((line) => line.trim() !== "")
