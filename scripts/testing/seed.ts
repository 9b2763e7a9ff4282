/**
 * The seed of the generated cases in one run of all tests.
 *
 * One number determines all of them, in Rust and in TypeScript, so that a finding can be reproduced. A local run tries new cases
 * each time. In CI, the number depends on the commit's content: a commit is always judged by the same cases, and the next one by
 * others.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { randomInt } from "node:crypto"

/** Seeds are below this: what both proptest and fast-check take. */
export const seedLimit = 2 ** 31

/** The seed of a run, and where it is from. */
export interface Seed {
  readonly value: number
  readonly from: string
}

/** The seed in `STILLPOINT_SEED`; otherwise, with `CI`, that of the commit's files; otherwise a new one. */
export const seedOf = (env: Readonly<Record<string, string | undefined>>, directory: string): Seed => {
  const given = env["STILLPOINT_SEED"] ?? ""
  if (given !== "") {
    if (!/^\d{1,10}$/.test(given) || Number(given) >= seedLimit)
      throw new Error(`STILLPOINT_SEED: expected a whole number from 0 to ${seedLimit - 1}, found ${given}`)
    return { value: Number(given), from: "STILLPOINT_SEED" }
  }
  const tree = (env["CI"] ?? "") === "" ? "" : treeOf(directory)
  if (tree === "") return { value: randomInt(seedLimit), from: "chance" }
  return { value: Number.parseInt(tree.slice(0, 8), 16) % seedLimit, from: "the commit's files" }
}

/** Git's name for the commit's content; empty without git. */
const treeOf = (directory: string): string => {
  try {
    return execFileSync("git", ["rev-parse", "HEAD^{tree}"], {
      cwd: directory,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"]
    }).trim()
  } catch {
    return ""
  }
}
