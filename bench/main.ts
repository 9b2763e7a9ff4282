/**
 * Runs every bench program, one after the other, and puts their rows together: a table on standard output, and
 * `bench/out/latest.json`.
 *
 * A program is a `*.bench.ts` here; arguments choose those whose name contains one of them.
 */
import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Row } from "./row.ts"

const root = fileURLToPath(new URL("..", import.meta.url))
const wanted = process.argv.slice(2)
const programs = globSync("*.bench.ts", { cwd: join(root, "bench") })
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
  .toSorted()
  .map((name) => `bench/${name}`)
if (programs.length === 0) process.stderr.write(`no bench program's name contains ${wanted.join(" or ")}\n`)

const rows: Array<Row> = []
const failed: Array<string> = []
for (const program of programs) {
  process.stderr.write(`… ${program}\n`)
  const ran = spawnSync(process.execPath, ["--conditions=stillpoint-source", "--expose-gc", program], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 64 << 20
  })
  const last = ran.stdout.trimEnd().split("\n").at(-1) ?? ""
  try {
    if (ran.status !== 0) throw new Error(`exit code ${ran.status}`)
    rows.push(...JSON.parse(last))
  } catch (error) {
    failed.push(`${program}: ${error instanceof Error ? error.message : String(error)}`)
  }
}

const number = (value: number | null): string =>
  value === null
    ? ""
    : Math.abs(value) >= 1000
      ? value.toLocaleString("en", { maximumFractionDigits: 0 })
      : String(value)
const table = [
  ["name", "value", "unit", "peer's value", "ratio", "peer"],
  ...rows.map((row) => [
    row.name,
    number(row.value),
    row.unit,
    number(row.peerValue),
    row.ratio === null ? "" : row.ratio.toPrecision(3),
    row.peer ?? ""
  ])
]
const widths = (table[0] ?? []).map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0)))
for (const line of table) {
  const cells = line.map((cell, column) =>
    column === 0 || column === 2 || column === 5 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)
  )
  process.stdout.write(`${cells.join("  ").trimEnd()}\n`)
}
process.stdout.write("\nratio: ours over the peer's, arranged so that below 1 is better for us\n")

const out = join(root, "bench/out")
mkdirSync(out, { recursive: true })
writeFileSync(join(out, "latest.json"), `${JSON.stringify(rows, undefined, 2)}\n`)
for (const line of failed) process.stderr.write(`failed: ${line}\n`)
process.exitCode = failed.length > 0 || rows.length === 0 ? 1 : 0
