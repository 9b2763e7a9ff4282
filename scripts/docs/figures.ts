/**
 * The table of figures in the README, from `bench/figures.json`.
 *
 * `make figures` writes it anew; with `ARGS=--take` after a run of `make bench`, `bench/figures.json` first takes the rows that it has
 * from `bench/out/latest.json`. A test compares page and figures, so neither is edited by hand.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Row } from "../../bench/row.ts"

const root = fileURLToPath(new URL("../..", import.meta.url))
const figuresFile = join(root, "bench/figures.json")
const page = join(root, "README.md")
const begin = "<!-- figures: begin -->\n"
const end = "<!-- figures: end -->\n"

/** What a row's name does not say. */
const notes: Readonly<Record<string, string>> = {
  "boot-to-agent-ready": "Debian 6.12 kernel, 128 MiB",
  "capture-total": "35 MB, flushed",
  "restore-and-gate": "in a process that has restored before",
  "restore-to-first-answer": "over a published port",
  "create-from-image": "attach an image to the booted kit, run it",
  "create-from-image/first": "the first guest of a new process",
  "idle-clone-bytes": "1,000 clones",
  "policy-replay/hand-written": "ten nested combinators",
  "policy-replay/allocated": "a replay of a million events",
  "journal-append/while-booting": "74,000 events/s"
}

const units: Readonly<Record<string, string>> = {
  "Minstr/s": "million instructions/s",
  "1/s": "/s",
  "bytes/replay": "B"
}

/** A number with two digits, or all before the point. */
const digits = (value: number): string =>
  value >= 100
    ? Math.round(value).toLocaleString("en")
    : value.toLocaleString("en", { minimumSignificantDigits: value < 1 ? 2 : 1, maximumSignificantDigits: 2 })

const withUnit = (value: number, unit: string): string => {
  const name = units[unit] ?? unit
  if (name === "B") return value >= 1e6 ? `${digits(value / 1e6)} MB` : `${digits(value / 1e3)} KB`
  const shown = value >= 1e6 ? `${digits(value / 1e6)} million` : digits(value)
  return name.startsWith("/") ? `${shown}${name}` : `${shown} ${name}`
}

/** The table of some rows, as the page has it. */
export const figuresTable = (rows: ReadonlyArray<Row>): string =>
  [
    ["row", "ours", "peer", "ratio"],
    ["---", "---", "---", "---"],
    ...rows.map(({ name, peer, peerValue, ratio, unit, value }) => {
      const note = notes[name]
      return [
        note === undefined ? `\`${name}\`` : `\`${name}\` (${note})`,
        withUnit(value, unit),
        peer === null || peerValue === null ? "" : `${withUnit(peerValue, unit)}, ${peer}`,
        ratio === null
          ? ""
          : ratio.toLocaleString("en", { minimumSignificantDigits: 2, maximumSignificantDigits: ratio < 1 ? 2 : 3 })
      ]
    })
  ]
    .map((cells) => `| ${cells.join(" | ")} |\n`)
    .join("")

/** A page with the table between its two marks. */
export const withTable = (text: string, table: string): string => {
  const [before, rest] = text.split(begin)
  const after = rest?.split(end)[1]
  if (before === undefined || after === undefined)
    throw new Error(`expected ${begin.trim()} and ${end.trim()}, found none`)
  return `${before}${begin}\n${table}\n${end}${after}`
}

/** The committed rows with the figures of a run, and the names of those that it lacks. */
export const taken = (
  rows: ReadonlyArray<Row>,
  latest: ReadonlyArray<Row>
): { readonly rows: ReadonlyArray<Row>; readonly missing: ReadonlyArray<string> } => {
  const byName = new Map(latest.map((row) => [row.name, row]))
  return {
    rows: rows.map((row) => byName.get(row.name) ?? row),
    missing: rows.filter(({ name }) => !byName.has(name)).map(({ name }) => name)
  }
}

/** The committed rows. */
export const figures = (): ReadonlyArray<Row> => JSON.parse(readFileSync(figuresFile, "utf8")) as ReadonlyArray<Row>

if (import.meta.main) {
  let rows = figures()
  if (process.argv.includes("--take")) {
    const latest = JSON.parse(readFileSync(join(root, "bench/out/latest.json"), "utf8")) as ReadonlyArray<Row>
    const { missing, rows: newer } = taken(rows, latest)
    // Figures of different runs on one page could not be compared.
    if (missing.length > 0) {
      process.stderr.write(`bench/out/latest.json lacks ${missing.join(", ")}: run make bench as a whole\n`)
      process.exit(1)
    }
    rows = newer
    writeFileSync(figuresFile, `[\n${rows.map((row) => `  ${JSON.stringify(row)}`).join(",\n")}\n]\n`)
  }
  writeFileSync(page, withTable(readFileSync(page, "utf8"), figuresTable(rows)))
}
