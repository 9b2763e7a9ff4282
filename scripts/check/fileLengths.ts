/**
 * Checks that every file of more than 400 lines that people write is on the list of those that are one thing.
 *
 * @module
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { lengthProblems, oneThing } from "./longFiles.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const kinds = ["*.rs", "*.ts", "*.c", "*.h"]

/** Committed files, and files about to be. */
const paths = execFileSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard", ...kinds], {
  cwd: root,
  encoding: "utf8",
  maxBuffer: 1 << 26
})
  .split("\0")
  .filter((path) => path !== "" && existsSync(join(root, path)))

const files = paths.map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }))
const problems = lengthProblems(files, oneThing)
for (const problem of problems) process.stderr.write(`${problem}\n`)
process.exitCode = problems.length > 0 ? 1 : 0
