/**
 * A run as a picture that a person can look at: SVG, in one string, with nothing to load.
 *
 * ```text
 * web · a41f…                                          ready     which run, and how it stands
 * ▓▓▓▓░░░░░░░░░░░░░░░░░░░░▒▒▓▓                                   states, on the host's clock
 * boot      ▐███▌ 12 ms                                          stages: one row each, in the order in which they began
 * watch          ▐██████████████████▌ 640 ms
 * ├────────┼────────┼────────┼                                   the host's clock
 * ●─────────────────────●──●                                     moments on the guest's clock: one row each, so that those
 * booted                fired at 300.000 ms, on-pre-exec         which lie close together stay legible
 * ```
 *
 * @module
 */
import {
  type GuestMark,
  guestTimeInWords,
  type PhaseSpan,
  type RunPhase,
  type RunHistory,
  type StageSpan
} from "@stillpoint/core"
import { escaped } from "./escaped.ts"

const width = 960
const margin = 24
/** Names stand left of this x coordinate, their bars right of it. */
const left = 150
const right = width - margin
const rowHeight = 22

const colours: Readonly<Record<RunPhase, string>> = {
  "not-started": "#cbd5e1",
  booting: "#94a3b8",
  watching: "#60a5fa",
  freezing: "#a78bfa",
  capturing: "#f59e0b",
  publishing: "#f97316",
  validating: "#2dd4bf",
  ready: "#16a34a",
  abandoned: "#64748b",
  failed: "#dc2626"
}
const markColours: Readonly<Record<GuestMark["what"], string>> = {
  booted: colours.booting,
  fired: colours.watching,
  frozen: colours.freezing,
  captured: colours.capturing
}
const ink = "#0f172a"
const faint = "#64748b"
const grid = "#e2e8f0"

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most - 1)}…` : text)

/** One decimal place at most: a picture has no finer ones. */
const px = (value: number): string => String(Math.round(value * 10) / 10)

type Attributes = Readonly<Record<string, string | number>>

const element = (name: string, attributes: Attributes, content = ""): string => {
  const written = Object.entries(attributes).map(
    ([key, value]) => ` ${key}="${typeof value === "number" ? px(value) : escaped(value)}"`
  )
  return `<${name}${written.join("")}${content === "" ? "/>" : `>${content}</${name}>`}`
}
const text = (x: number, y: number, content: string, attributes: Attributes = {}): string =>
  element("text", { x, y, ...attributes }, escaped(content))

/** A duration as people say it; none where a clock was set back. */
const duration = (millis: number): string =>
  millis < 1_000 ? `${Math.round(Math.max(0, millis) * 1_000) / 1_000} ms` : `${(millis / 1_000).toFixed(2)} s`

/** From values to places between the two margins. */
const scaleOf = (from: number, to: number) => {
  const span = to > from ? to - from : 1
  return (value: number): number => left + ((value - from) / span) * (right - left)
}

/** Steps of an axis: round ones, at most six. */
const stepsOf = (span: number): ReadonlyArray<number> => {
  const rough = Math.max(span, 1e-6) / 6
  const magnitude = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5].find((factor) => factor * magnitude >= rough) ?? 10) * magnitude
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, index) => index * step)
}

/** A label next to its bar, on the side where there is room. */
const label = (before: number, after: number, y: number, content: string): string =>
  after + content.length * 6.5 > right
    ? text(before - 6, y, content, { "text-anchor": "end", fill: faint })
    : text(after + 6, y, content, { fill: faint })

const phaseStrip = (phases: ReadonlyArray<PhaseSpan>, end: number, x: (millis: number) => number, y: number): string =>
  phases
    .map(({ fromMillis, phase, toMillis }) => {
      const size = Math.max(2, x(toMillis ?? end) - x(fromMillis))
      const begin = Math.min(x(fromMillis), right - size)
      const strip = element(
        "rect",
        { x: begin, y, width: size, height: 16, fill: colours[phase] },
        element("title", {}, escaped(`${phase}: ${duration((toMillis ?? end) - fromMillis)}`))
      )
      const name =
        size > phase.length * 7 + 8 ? text(begin + 5, y + 12, phase, { fill: "#ffffff", "font-size": "11" }) : ""
      return strip + name
    })
    .join("")

const stageRow = (span: StageSpan, end: number, x: (millis: number) => number, y: number): string => {
  const size = Math.max(3, x(span.toMillis ?? end) - x(span.fromMillis))
  const begin = Math.min(x(span.fromMillis), right - size)
  const fill = { running: "#bfdbfe", finished: "#3b82f6", failed: colours.failed }[span.outcome]
  const note =
    (span.outcome === "running" ? "since " : "") +
    duration((span.toMillis ?? end) - span.fromMillis) +
    (span.attempts > 1 ? `, ${span.attempts} attempts` : "") +
    (span.outcome === "failed" ? ", failed" : "")
  return (
    text(margin, y + 11, shortened(span.stage, 18)) +
    element("rect", { x: begin, y, width: size, height: 14, rx: 3, fill }) +
    label(begin, begin + size, y + 11, note)
  )
}

const axis = (
  span: number,
  x: (value: number) => number,
  top: number,
  bottom: number,
  unit: (value: number) => string
) =>
  stepsOf(span)
    .map(
      (value) =>
        element("line", { x1: x(value), y1: top, x2: x(value), y2: bottom, stroke: grid }) +
        text(x(value), bottom + 14, unit(value), { fill: faint, "text-anchor": "middle", "font-size": "11" })
    )
    .join("")

/**
 * Draws a run.
 *
 * @example
 * ```ts
 * import { runHistoryOf } from "@stillpoint/core"
 * import { runPicture } from "stillpoint"
 *
 * const svg = runPicture(runHistoryOf("a41f", []))
 * console.log(svg.startsWith("<svg")) // true
 * ```
 */
export const runPicture = (timeline: RunHistory): string => {
  const { guest, phases, runId, stages } = timeline
  const phase = phases.at(-1)?.phase ?? "not-started"
  // The host's clock may have been set back in between: nothing is taken for the first or the last.
  const known = [...phases, ...stages].flatMap(({ fromMillis, toMillis }) => [fromMillis, toMillis ?? fromMillis])
  const begin = known.reduce((one, two) => Math.min(one, two), known[0] ?? 0)
  const end = known.reduce((one, two) => Math.max(one, two), begin)
  const host = scaleOf(begin, end)

  const parts: Array<string> = []
  let y = margin
  parts.push(text(margin, y + 12, `run ${shortened(runId, 80)}`, { "font-size": "16", "font-weight": "600" }))
  parts.push(
    element("rect", { x: right - 100, y: y - 4, width: 100, height: 22, rx: 11, fill: colours[phase] }),
    text(right - 50, y + 11, phase, { fill: "#ffffff", "text-anchor": "middle", "font-weight": "600" })
  )
  y += 36

  const stagesBegin = y + 26
  const stagesEnd = stagesBegin + stages.length * rowHeight
  parts.push(axis(end - begin, (value) => host(begin + value), y, stagesEnd, duration))
  parts.push(text(margin, y + 12, "host clock", { fill: faint }), phaseStrip(phases, end, host, y))
  for (const [index, span] of stages.entries()) {
    parts.push(stageRow(span, end, host, stagesBegin + index * rowHeight))
  }
  y = stagesEnd + 36

  if (guest.length > 0) {
    const lastNanos = Math.max(...guest.map(({ atNanos }) => atNanos))
    const clock = scaleOf(0, lastNanos / 1e6)
    const bottom = y + 14 + guest.length * rowHeight
    parts.push(axis(lastNanos / 1e6, clock, y, bottom, duration), text(margin, y + 4, "guest clock", { fill: faint }))
    parts.push(element("line", { x1: left, y1: y, x2: right, y2: y, stroke: faint }))
    for (const [index, { atNanos, label: note, what }] of guest.entries()) {
      const x = clock(atNanos / 1e6)
      const row = y + 14 + index * rowHeight
      parts.push(
        element("line", { x1: x, y1: y, x2: x, y2: row + 7, stroke: markColours[what] }),
        element("circle", { cx: x, cy: row + 7, r: 5, fill: markColours[what] }),
        text(margin, row + 11, what),
        label(x - 5, x + 5, row + 11, shortened(`${guestTimeInWords(atNanos)} · ${note}`, 60))
      )
    }
    y = bottom + 26
  }
  const frame = { xmlns: "http://www.w3.org/2000/svg", width, height: y, viewBox: `0 0 ${width} ${px(y)}` }
  const background = element("rect", { width, height: y, fill: "#ffffff" })
  const font = { "font-family": "system-ui, sans-serif", "font-size": "12", fill: ink }
  return `${element("svg", frame, background + element("g", font, parts.join("\n")))}\n`
}
