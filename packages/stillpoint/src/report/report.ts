/**
 * Runs as one page that needs nothing else: drawn in lanes on the guest's clock, and told in sentences and tables.
 *
 * The page contains everything: the drawing library, its own script, its data. It loads nothing. Its content security policy
 * allows only the scripts that were put into it here, whatever a guest wrote.
 *
 * @module
 */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { Effect, Schema } from "effect"
import { checkedOptions } from "../sandbox/checkedOptions.ts"
import { escaped } from "./escaped.ts"
import { guestLanes, type Lane } from "./guestLanes.ts"
import {
  factsList,
  factsTable,
  laneInWords,
  laneTable,
  momentsOf,
  momentsTable,
  policyTable,
  restoresOf,
  stagesOf,
  whyOf
} from "./pageParts.ts"
import { policyBars } from "./policyBars.ts"
import { type ReportedRun, reportedRun } from "./ReportedRun.ts"

const require = createRequire(import.meta.url)
/** The same path from `src` and from `dist`. */
const asset = (name: string): string => readFileSync(new URL(`../../assets/report/${name}`, import.meta.url), "utf8")
/** A module of the page's script, in the form in which it is joined with the others. */
const inlined = (name: string): string =>
  asset(name)
    .replace(/^import .*$/gm, "")
    .replace(/^export /gm, "")
const library = (file: string): string => readFileSync(require.resolve(`uplot/dist/${file}`), "utf8")

/** Maximum number of texts of a lane that the page can show under the pointer. */
const mostTexts = 2000

/** JSON for an element of a page: without `<`, so nothing in it can end that element or begin another. */
export const jsonInPage = (value: unknown): string => JSON.stringify(value).replace(/</g, "\\u003c")

/** The data of a run that the page's script draws. Times are differences, since most are small. */
const dataOf = (run: ReportedRun, all: ReadonlyArray<Lane>) => {
  const { events, firing } = run
  const moments = momentsOf(run)
  const lanes = all.map(({ id, points, shape, title, unit }) => ({
    id,
    title,
    shape,
    unit,
    atNanos: points.map(({ atNanos }, index) => atNanos - (points[index - 1]?.atNanos ?? 0)),
    values: shape === "count" ? null : points.map(({ value }) => value),
    texts: points.slice(0, mostTexts).map(({ text }) => text)
  }))
  const endNanos = [...events.slice(-1), ...moments].reduce((end, { atNanos }) => Math.max(end, atNanos), 1)
  return { endNanos, lanes, moments: moments.slice(0, mostTexts), policy: firing === null ? null : policyBars(firing) }
}

const lane = (id: string, title: string, words: string, table: string): string =>
  `<div class="lane" data-lane="${id}"><div class="name"><span>${escaped(title)}</span><output class="shown"></output></div><div class="drawing" role="img" aria-label="${escaped(`${title}: ${words}`)}. The table below has it in text."></div></div>
${table}`

const legendOf = ({ firing, stored }: ReportedRun): string => {
  const signs = [
    ...(firing === null ? [] : [`<span class="fired">decision</span>`]),
    ...((firing?.quiesce ?? null) === null
      ? []
      : [`<span class="wait">wait for calm</span>`, `<span class="calm">calm before the capture</span>`]),
    ...((stored?.manifest ?? null) === null ? [] : [`<span class="captured">capture</span>`])
  ]
  return signs.length === 0 ? "" : `<div class="legend" aria-hidden="true">${signs.join("")}</div>`
}

const sectionOf = (run: ReportedRun, index: number, lanes: ReadonlyArray<Lane>, isAlone: boolean): string => {
  const id = `run-${index}`
  return `<section class="run" aria-labelledby="${id}">
<div>
<h2 id="${id}">${isAlone ? "The boot" : escaped(run.title)}</h2>
${isAlone ? factsList(run) : ""}${whyOf(run)}
</div>
<div>
<div class="lanes" data-run="${index}" tabindex="0" role="group" aria-label="The boot of ${escaped(run.title)}: arrow keys move, plus and minus zoom">
${lane("moments", "Moments", `${momentsOf(run).length} of them`, momentsTable(run))}
${lane("policy", "Triggers", run.firing === null ? "none decided" : "what became of each", policyTable(run))}
${lanes.map((one) => lane(one.id, one.title, laneInWords(one), laneTable(one, run.title))).join("\n")}
<div class="lane" data-lane="clock"><div class="name"><span>Guest time</span></div><div class="drawing" role="img" aria-label="The axis of guest time"></div></div>
</div>
${legendOf(run)}
${run.events.length === 0 ? "<p>The guest's events are not recorded.</p>" : ""}
${stagesOf(run)}
${restoresOf(run)}
</div>
</section>`
}

/** The report on some runs, as one string of HTML. */
export const reportPage = (runs: ReadonlyArray<ReportedRun>): string => {
  const lanes = runs.map(({ events }) => guestLanes(events))
  // Every run has the lanes that one of them fills: they are compared.
  const filled = new Set(lanes.flatMap((all) => all.filter(({ points }) => points.length > 0).map(({ id }) => id)))
  const shown = lanes.map((all) => all.filter(({ id }) => filled.has(id)))
  const title = `Stillpoint: ${runs.map((run) => run.title).join(", ")}`
  const modules = ["binned.js", "drawn.js", "page.js"].map(inlined).join("\n")
  // The library defines a variable of the page; our script defines none.
  const script = `${library("uPlot.iife.min.js")}\nglobalThis.uPlot = uPlot;\n(() => {\n"use strict"\n${modules}\n})()`
  const hash = createHash("sha256").update(script).digest("base64")
  const policy = `default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'`
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escaped(title)}</title>
<style>
${library("uPlot.min.css")}
${asset("page.css")}</style>
</head>
<body>
<header>
<h1>${escaped(runs.map((run) => run.title).join(" · "))}</h1>
<p>${runs.length === 1 ? "A boot, the reasons for the moment of its capture, and the result." : `${runs.length} runs on one clock.`}</p>
</header>
<nav class="toolbar" aria-label="Visible range">
<button type="button" data-do="in">Zoom in</button>
<button type="button" data-do="out">Zoom out</button>
<button type="button" data-do="earlier">Earlier</button>
<button type="button" data-do="later">Later</button>
<button type="button" data-do="all">Show all</button>
<span class="range" role="status" aria-live="polite"></span>
<span class="hint">Drag over a lane to zoom, double-click for all. With the keyboard: arrows move, + and − zoom, 0 shows all.</span>
</nav>
<main>
${runs.length > 1 ? factsTable(runs) : ""}
<div class="runs">
${runs.map((run, index) => sectionOf(run, index, shown[index] ?? [], runs.length === 1)).join("\n")}
</div>
</main>
<footer><p>Guest time counts from the guest's first instruction. Every number here is of the journal and of the recorded boot.</p></footer>
<script type="application/json" id="data">${jsonInPage(runs.map((run, index) => dataOf(run, shown[index] ?? [])))}</script>
<script>${script}</script>
</body>
</html>
`
}

/**
 * The report on some snapshots (by name or digest) or runs of the journal (by id).
 *
 * @example
 * ```ts no-run: shows snapshots of the user's own store
 * import { writeFileSync } from "node:fs"
 * import { Effect } from "effect"
 * import { report, Stillpoint } from "stillpoint"
 *
 * const page = await Effect.runPromise(report(["web", "web:before"]).pipe(Effect.provide(Stillpoint.layer())))
 * writeFileSync("report.html", page)
 * ```
 */
export const report = Effect.fn("report")(function* (references: ReadonlyArray<string>) {
  yield* checkedOptions("report", Schema.Struct({ references: Schema.Array(Schema.String) }), { references })
  return reportPage(yield* Effect.forEach(references, reportedRun))
})
