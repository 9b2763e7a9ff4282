/**
 * The parts of a report's page that are text: facts, sentences and tables, which say all that the drawings show.
 *
 * @module
 */
import { engineInWords, explain, guestTimeInWords, runHistoryOf } from "@stillpoint/core"
import type { Restore, Restores } from "../sandbox/Restores.ts"
import { escaped } from "./escaped.ts"
import { guestMoments, type Lane } from "./guestLanes.ts"
import { mebibytes } from "./mebibytes.ts"
import { policyBars } from "./policyBars.ts"
import type { ReportedRun } from "./ReportedRun.ts"

/** Maximum number of rows of a table; the caption gives the full count. */
const mostRows = 200

const number = (value: number): string => value.toLocaleString("en-US")
/** So many of them: all that is counted here has a plural with an s. */
const counted = (count: number, plural: string): string =>
  `${number(count)} ${count === 1 ? plural.slice(0, -1) : plural}`
const millis = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`

/** A table of text with a caption, which says how much is left out. */
const table = (caption: string, heads: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const shown = rows.slice(0, mostRows)
  const rest = rows.length > shown.length ? `; the first ${number(shown.length)} are shown` : ""
  const head = heads.map((name) => `<th scope="col">${escaped(name)}</th>`).join("")
  const body = shown.map((cells) => `<tr>${cells.map((cell) => `<td>${escaped(cell)}</td>`).join("")}</tr>`).join("\n")
  return `<table><caption>${escaped(caption + rest)}</caption><thead><tr>${head}</tr></thead><tbody>
${body}
</tbody></table>`
}

/** A region that scrolls if its content is wider than the page, with the keyboard too. */
const scrolled = (name: string, body: string): string =>
  `<div class="scrolled" tabindex="0" role="region" aria-label="${escaped(name)}">${body}</div>`

/** A table that is folded until the reader opens it. */
const folded = (title: string, name: string, body: string): string =>
  `<details><summary>${escaped(title)}</summary>${scrolled(name, body)}</details>`

const total = ({ points, shape, unit }: Lane): string => {
  const sum = shape === "sum" ? points.reduce((all, { value }) => all + value, 0) : points.length
  return counted(sum, shape === "level" ? "changes" : unit)
}

/** The content of a lane, as a sentence. */
export const laneInWords = (lane: Lane): string => {
  if (lane.points.length === 0) return `no ${lane.unit}`
  const first = lane.points[0]?.atNanos ?? 0
  const last = lane.points.at(-1)?.atNanos ?? 0
  const when =
    first === last ? `at ${guestTimeInWords(first)}` : `from ${guestTimeInWords(first)} to ${guestTimeInWords(last)}`
  return `${total(lane)}, ${when}`
}

/** The table beside a lane. */
export const laneTable = (lane: Lane, title: string): string =>
  folded(
    `${lane.title}: ${laneInWords(lane)}`,
    `${lane.title} of ${title}`,
    table(
      `${lane.title}: ${laneInWords(lane)}`,
      ["Guest time", "What"],
      lane.points.map(({ atNanos, text }) => [guestTimeInWords(atNanos), text])
    )
  )

/** The moments of a guest, of its decision and of its capture, in the order of time. */
export const momentsOf = ({ events, firing, stored }: ReportedRun) => {
  const capture = stored?.manifest?.capture
  return [
    ...guestMoments(events),
    ...(firing === null
      ? []
      : [{ atNanos: firing.atNanos, kind: "fired" as const, text: `decided: ${firing.trigger}` }]),
    ...(capture === undefined
      ? []
      : [
          {
            atNanos: capture.atNanos,
            kind: "captured" as const,
            text: `captured, the guest held for ${millis(capture.pauseNanos / 1e6)} of host time`
          }
        ])
  ].toSorted((one, other) => one.atNanos - other.atNanos)
}

export const momentsTable = (run: ReportedRun): string =>
  folded(
    "Moments",
    `Moments of ${run.title}`,
    table(
      "Moments of the boot",
      ["Guest time", "What"],
      momentsOf(run).map(({ atNanos, text }) => [guestTimeInWords(atNanos), text])
    )
  )

/** The triggers of the policy, and what became of each. */
export const policyTable = ({ firing, title }: ReportedRun): string =>
  firing === null
    ? `<details><summary>Triggers: none decided</summary></details>`
    : folded(
        "Triggers",
        `Triggers of ${title}`,
        table(
          "Triggers of the policy, and what became of each",
          ["Trigger", "Outcome", "Account"],
          policyBars(firing).bars.map(({ status, text, trigger }) => [trigger, status, text])
        )
      )

const workingSetOf = ({ run }: ReportedRun): string => {
  const passed = run.findLast(({ event }) => event._tag === "ValidationPassed")?.event
  return passed?._tag === "ValidationPassed"
    ? `${number(passed.workingSetPages)} pages (${mebibytes(passed.workingSetPages * 4096)})`
    : "not measured"
}

/** The facts about a run in order of interest; the same names for every run. */
export const factsOf = (run: ReportedRun): ReadonlyArray<readonly [name: string, value: string]> => {
  const { events, firing, stored } = run
  const manifest = stored?.manifest ?? null
  const quiesce = firing?.quiesce ?? null
  const none = "none"
  return [
    ["Captured at", manifest === null ? none : guestTimeInWords(manifest.capture.atNanos)],
    ["Decided by", firing?.trigger ?? none],
    ["Calm before", quiesce === null ? "not required" : guestTimeInWords(quiesce.calmNanos)],
    ["Pause", manifest === null ? none : millis(manifest.capture.pauseNanos / 1e6)],
    ["Events", number(events.length)],
    ["Memory", manifest === null ? none : `${manifest.memoryMib} MiB`],
    ["On the disk", stored === null ? none : mebibytes(stored.storedBytes)],
    ["Working set", workingSetOf(run)],
    ["Engine", manifest === null ? none : engineInWords(manifest.engine, manifest.engineChoice)],
    ["Digest", stored === null ? none : stored.digest.slice(0, 12)]
  ]
}

/** The facts of several runs side by side. */
export const factsTable = (runs: ReadonlyArray<ReportedRun>): string => {
  const heads = runs.map(({ title }) => `<th scope="col">${escaped(title)}</th>`).join("")
  const facts = runs.map(factsOf)
  const rows = (facts[0] ?? []).map(([name], row) => {
    const cells = facts.map((of) => `<td>${escaped(of[row]?.[1] ?? "")}</td>`).join("")
    return `<tr><th scope="row">${escaped(name)}</th>${cells}</tr>`
  })
  const table = `<table class="facts">
<thead><tr><td></td>${heads}</tr></thead><tbody>
${rows.join("\n")}
</tbody></table>`
  return scrolled("The runs compared", table)
}

/** The facts of one run. */
export const factsList = (run: ReportedRun): string =>
  `<dl class="facts">${factsOf(run)
    .map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`)
    .join("")}</dl>`

/** The reasons for the moment, one sentence a line. */
export const whyOf = ({ firing }: ReportedRun): string =>
  firing === null
    ? ""
    : `<div class="why"><p>${explain(firing).text.split("\n").map(escaped).join("</p>\n<p>")}</p></div>`

/** A row whose bar shows a stretch of the host's clock. */
const barRow = (heads: ReadonlyArray<string>, from: number, size: number, kind: string): string =>
  `<tr>${heads.map((cell) => `<td>${escaped(cell)}</td>`).join("")}<td class="bar"><span class="${kind}" style="margin-left:${(from * 100).toFixed(2)}%;width:${Math.max(0.5, size * 100).toFixed(2)}%"></span></td></tr>`

/** The run around the boot, on the host's clock. */
export const stagesOf = ({ run, runId, title }: ReportedRun): string => {
  const { phases, stages } = runHistoryOf(runId ?? "", run)
  if (stages.length === 0) return ""
  // The host's clock may have been set back in between.
  const known = [...phases, ...stages].flatMap(({ fromMillis, toMillis }) => [fromMillis, toMillis ?? fromMillis])
  const begin = Math.min(...known)
  const span = Math.max(1, Math.max(...known) - begin)
  const rows = stages.map(({ attempts, fromMillis, outcome, stage, toMillis }) => {
    const lasted = Math.max(0, (toMillis ?? begin + span) - fromMillis)
    const cells = [stage, outcome, String(attempts), `${lasted} ms`]
    return barRow(cells, (fromMillis - begin) / span, lasted / span, outcome)
  })
  const table = `<table class="bars"><caption>Stages of the run: ${escaped(phases.at(-1)?.phase ?? "")} after ${span} ms</caption>
<thead><tr><th scope="col">Stage</th><th scope="col">Outcome</th><th scope="col">Attempts</th><th scope="col">Took</th><th scope="col">When</th></tr></thead><tbody>
${rows.join("\n")}
</tbody></table>`
  return `<h3>The run, on the host's clock</h3>\n${scrolled(`Stages of ${title}`, table)}`
}

const after = ({ states }: Restore, state: string): string => {
  const found = states.find((one) => one.state === state)
  return found === undefined ? "not reached" : millis(found.afterMillis)
}

/** The restores of the snapshot on this host in a sentence. */
const restoresInWords = ({ first, latest, ready, readyMillis, refused }: Restores): string => {
  const begin = new Date((first[0] ?? latest[0])?.atMillis ?? 0).toISOString()
  const end = new Date((latest.at(-1) ?? first.at(-1))?.atMillis ?? 0).toISOString()
  const when = ready + refused === 1 ? `at ${begin}` : `from ${begin} to ${end}`
  const took =
    ready === 0
      ? ""
      : ready === 1
        ? `; handed over after ${millis(readyMillis.total)}`
        : `; handed over after ${millis(readyMillis.total / ready)} on average, ${millis(readyMillis.longest)} at most`
  return `${counted(ready + refused, "restores")} ${when}: ${number(ready)} ready, ${number(refused)} refused${took}.`
}

/** The restores of the snapshot on this host: how many, and of some of them how long each stood at its gate, newest first. */
export const restoresOf = ({ restores, stored, title }: ReportedRun): string => {
  if (stored === null) return ""
  const count = restores.ready + restores.refused
  if (count === 0) return "<h3>Restores</h3>\n<p>None is recorded on this host.</p>"
  const full = [...restores.first, ...restores.latest].toReversed()
  const caption =
    full.length < count
      ? `${number(full.length)} of ${counted(count, "restores")}, newest first: the latest, and the first`
      : `${counted(count, "restores")}, newest first`
  return `<h3>Restores and their gates</h3>
<p>${escaped(restoresInWords(restores))}</p>
${scrolled(
  `Restores of ${title}`,
  table(
    caption,
    ["Began", "Outcome", "Verified", "Identity sent", "Acknowledged", "Handed over"],
    full.map((restore) => [
      new Date(restore.atMillis).toISOString(),
      restore.outcome,
      ...["Verified", "IdentityApplied", "Acknowledged", "Ready"].map((state) => after(restore, state))
    ])
  )
)}`
}
