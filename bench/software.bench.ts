/**
 * Real programs of images, as in `examples/06-images-of-real-programs`: the size of the image and the time to build it, the pause
 * of a capture, and a clone's first answer. Covers the images that are built (`make images` builds all).
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { median } from "./measure.ts"
import { finish, type Row, row } from "./row.ts"

/** The used part of the example's report on a program. */
interface ProgramReport {
  readonly name: string
  readonly imageBytes: number
  readonly buildMs: number
  readonly captures: ReadonlyArray<{ readonly pauseMs: number }>
  readonly clones: ReadonlyArray<{ readonly cause: string; readonly restoreToAnswerMs: number }>
}

const index = fileURLToPath(new URL("../.cache/test-images/layout/index.json", import.meta.url))
const program = fileURLToPath(new URL("../examples/06-images-of-real-programs/main.ts", import.meta.url))

const names = existsSync(index)
  ? [...readFileSync(index, "utf8").matchAll(/"org\.opencontainers\.image\.ref\.name":"([a-z]+)"/g)].map(
      ([, name = ""]) => name
    )
  : []
if (names.length === 0) process.stderr.write("skipped: no test images in .cache/test-images (make images)\n")

const rounds = 3
const reports = Array.from({ length: names.length === 0 ? 0 : rounds }, () => {
  const args = ["--conditions=stillpoint-source", "--no-warnings", program, "--json", ...names]
  const lines = execFileSync(process.execPath, args, { encoding: "utf8", maxBuffer: 1 << 26 })
    .trimEnd()
    .split("\n")
  return JSON.parse(lines.at(-1) ?? "") as ReadonlyArray<ProgramReport>
})

const rowsOf = (name: string): ReadonlyArray<Row> => {
  const own = reports.flatMap((report) => report.filter((each) => each.name === name))
  const middle = (of: (report: ProgramReport) => ReadonlyArray<number>) => median(own.flatMap(of))
  const clones = (cause: string) =>
    middle((each) => each.clones.filter((clone) => clone.cause === cause).map((clone) => clone.restoreToAnswerMs))
  return [
    row(
      `software/${name}-image-size`,
      "MB",
      middle((each) => [each.imageBytes / 1e6])
    ),
    row(
      `software/${name}-image-build`,
      "ms",
      middle((each) => [each.buildMs])
    ),
    row(
      `software/${name}-capture-pause`,
      "ms",
      middle((each) => each.captures.map(({ pauseMs }) => pauseMs))
    ),
    row(`restore-to-first-response/${name}`, "ms", clones("listener"), {
      peer: "from pre-exec: the program starts afresh",
      peerValue: clones("pre-exec")
    })
  ]
}

finish(names.flatMap(rowsOf))
