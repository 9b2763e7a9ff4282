/**
 * Which cases the properties of one run of all tests try.
 *
 * One number stands for all of them, in Rust and in TypeScript, so that what a run found can be found again. At a desk each run tries
 * others. Where a commit is judged, the number is of what it holds: the commit is judged by the same cases as often as anybody asks,
 * and the next one by others.
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

/** The seed that `STILLPOINT_SEED` names; else, with `CI`, that of the commit's files; else a new one. */
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

/** The name that git has for what the commit holds; nothing without git. */
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
