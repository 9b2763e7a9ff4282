import type { Outcome } from "./Outcome.ts"

/**
 * Takes a line of a program that says one line for each of its cases: `ok NAME`, `not ok NAME: why`, `skipped: why`, and last how
 * many there were, such as `0 passed, 0 failed, 6 skipped`. Returns whether the line is shown.
 */
export const takeCase = (outcome: Outcome, line: string): boolean => {
  const failed = /^not ok (?<test>[^:]*): ?(?<said>.*)$/.exec(line)?.groups
  if (failed !== undefined) outcome.failures.push({ test: failed["test"] ?? "", said: [failed["said"] ?? ""] })
  if (line.startsWith("ok ")) outcome.passed += 1
  if (line.startsWith("skipped: ")) outcome.skips.push(line.slice("skipped: ".length))
  const count = /^\d+ passed, \d+ failed, (?<skipped>\d+) skipped$/.exec(line)?.groups
  outcome.skipped += Number(count?.["skipped"] ?? 0)
  return count === undefined
}
