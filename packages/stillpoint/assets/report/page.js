/**
 * The page of a report: draws every lane of every run, all with the same stretch of guest time in view.
 *
 * @module
 */
import { binned, counted, firstAt, timeInWords } from "./binned.js"
import { colours, drawAcross, drawMoments, drawPolicy, triggerHeight } from "./drawn.js"

/**
 * @typedef {import("uplot")} Plot
 * @typedef {{ from: number, to: number }} View
 * @typedef {{ readonly id: string, readonly title: string, readonly unit: string, readonly texts: ReadonlyArray<string> } & import("./binned.js").Points} Lane
 * @typedef {{ readonly atNanos: number, readonly kind: "guest" | "fired" | "captured" | "trouble", readonly text: string }} Moment
 * @typedef {{ readonly trigger: string, readonly status: string, readonly fromNanos: number, readonly toNanos: number, readonly text: string }} Bar
 * @typedef {import("./drawn.js").Stretch} Stretch
 * @typedef {{ readonly bars: ReadonlyArray<Bar>, readonly wait: Stretch | null, readonly calm: Stretch | null }} Policy
 * @typedef {{ readonly endNanos: number, readonly lanes: ReadonlyArray<Lane>, readonly moments: ReadonlyArray<Moment>, readonly policy: Policy | null }} Run
 * @typedef {{ readonly plot: Plot, readonly run: Run, readonly view: View }} Drawn
 * @typedef {{ readonly run: Run, readonly lane: Lane | null, readonly plot: Plot, readonly drawing: HTMLElement, readonly shown: HTMLElement | null }} Chart
 */

/**
 * An element that the page has.
 *
 * @param {ParentNode} parent
 * @param {string} selector
 * @returns {HTMLElement}
 */
const one = (parent, selector) => /** @type {HTMLElement} */ (parent.querySelector(selector))

/** The runs, as they were put into the page. @returns {ReadonlyArray<Run>} */
const readRuns = () =>
  JSON.parse(one(document, "#data").textContent ?? "[]").map((/** @type {any} */ run) => ({
    ...run,
    lanes: run.lanes.map((/** @type {any} */ lane) => {
      const at = new Float64Array(lane.atNanos.length)
      let now = 0
      for (const [index, step] of lane.atNanos.entries()) at[index] = now += step
      return { ...lane, at, values: lane.values === null ? null : Float64Array.from(lane.values) }
    })
  }))

const runs = readRuns()
const endNanos = Math.max(...runs.map((run) => run.endNanos))
/** A little more than everything, so that the last instant is not on the edge. */
const whole = { from: 0, to: endNanos * 1.02 }
/** @type {View} */
const view = { ...whole }
/** @type {Array<Chart>} */
const charts = []
const pointer = document.createElement("div")
pointer.className = "pointer"
pointer.setAttribute("aria-hidden", "true")
document.body.append(pointer)

/** Room beside a drawing, for the labels at the ends of the axis. */
const sides = 16
const heights = { moments: 112, clock: 30 }
/** CSS pixels of a column: bars are wider than steps. */
const columnWidth = { count: 4, sum: 4, level: 1, share: 2 }

/** @param {Lane} lane @param {{ points: number, total: number }} drawn */
const inWords = ({ shape, unit }, { points, total }) =>
  shape === "share"
    ? `${(total * 100).toFixed(1)} %`
    : shape === "level"
      ? counted(points, "changes")
      : counted(total, unit)

/** @param {Chart} chart @returns {[Float64Array, Array<number | null>]} */
const dataFor = ({ lane, plot, run, shown }) => {
  const width = plot.width - 2 * sides
  const shape = lane?.shape ?? "count"
  const columns = lane === null ? 2 : Math.max(8, Math.floor(width / columnWidth[shape]))
  const step = (view.to - view.from) / columns
  // A bar stands over its column, a step begins where its column does.
  const middle = shape === "count" || shape === "sum" ? 0.5 : 0
  const xs = Float64Array.from({ length: columns }, (_, column) => view.from + (column + middle) * step)
  if (lane === null) return [xs, [...new Float64Array(columns)]]
  const drawn = binned(lane, view.from, view.to, columns, run.endNanos)
  if (shown !== null) shown.textContent = inWords(lane, drawn)
  return [xs, drawn.ys]
}

/** Redraws the page after a change of the visible range or of the colours. */
const show = () => {
  for (const chart of charts) chart.plot.setData(dataFor(chart))
  const span = view.to - view.from
  const range = one(document, ".range")
  range.dataset["from"] = String(view.from)
  range.dataset["to"] = String(view.to)
  range.textContent = `${timeInWords(view.from, span)} to ${timeInWords(view.to, span)}`
}

/** @param {number} from @param {number} to */
const look = (from, to) => {
  const span = Math.min(whole.to, Math.max(1000, to - from))
  view.from = Math.max(0, Math.min(from, whole.to - span))
  view.to = view.from + span
  show()
}
/** @param {number} factor @param {number} [about] */
const zoom = (factor, about = (view.from + view.to) / 2) =>
  look(about - (about - view.from) * factor, about + (view.to - about) * factor)
/** @param {number} part */
const move = (part) => {
  const by = (view.to - view.from) * part
  look(view.from + by, view.to + by)
}
const all = () => look(whole.from, whole.to)

/**
 * The texts for a time: for each lane, its last event before that time, if it is close.
 *
 * @param {Run} run
 * @param {Lane | null} lane
 * @param {number} time
 */
const near = (run, lane, time) => {
  const reach = (view.to - view.from) / 100
  if (lane === null) {
    return run.moments.filter(({ atNanos }) => Math.abs(atNanos - time) < reach).map(({ text }) => text)
  }
  const from = firstAt(lane.at, time - reach / 2)
  const to = firstAt(lane.at, time + reach / 2)
  const texts = lane.texts.slice(from, Math.min(to, from + 4))
  return to - from > texts.length ? [...texts, `… ${to - from} in all`] : texts
}

/** @param {Chart} chart @param {number} left @param {number} time */
const point = ({ drawing, lane, run }, left, time) => {
  const lines = [timeInWords(time, (view.to - view.from) / 100), ...near(run, lane, time)]
  pointer.replaceChildren(
    ...lines.map((line) => {
      const row = document.createElement("div")
      row.textContent = line
      return row
    })
  )
  const { bottom, left: begin } = drawing.getBoundingClientRect()
  pointer.style.display = "block"
  const x = Math.min(begin + left + 14, document.documentElement.clientWidth - pointer.offsetWidth - 8)
  pointer.style.transform = `translate(${Math.max(8, x)}px, ${bottom + 6}px)`
}

/** Lanes of runs side by side line up. */
const triggers = Math.max(1, ...runs.map((run) => run.policy?.bars.length ?? 0))
/** @param {string} id */
const heightOf = (id) => (id === "policy" ? triggers * triggerHeight : (heights[/** @type {"moments"} */ (id)] ?? 44))

/** @param {Run} run @param {HTMLElement} element @param {Element} group */
const chartOf = (run, element, group) => {
  const id = element.dataset["lane"] ?? ""
  const drawing = one(element, ".drawing")
  const lane = run.lanes.find((lane) => lane.id === id) ?? null
  const isClock = id === "clock"
  const colour = () => getComputedStyle(element).getPropertyValue("--lane").trim()
  const bars = lane?.shape === "count" || lane?.shape === "sum"
  /** @param {Plot} plot */
  const drawn = (plot) => ({ plot, run, view })
  /** @type {any} */
  const options = {
    width: Math.max(120, drawing.clientWidth),
    height: heightOf(id),
    padding: [3, sides, isClock ? 0 : 3, sides],
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: true, y: false, setScale: false },
      sync: { key: "stillpoint", scales: ["x", null] },
      bind: { dblclick: () => () => (all(), null) }
    },
    scales: {
      x: { time: false, range: () => [view.from, view.to] },
      y: {
        range: (/** @type {Plot} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [
          0,
          lane?.shape === "share" ? 1 : Math.max(1, high)
        ]
      }
    },
    axes: [
      {
        show: true,
        size: isClock ? 24 : 0,
        stroke: () => colours().muted,
        font: "11px ui-sans-serif, system-ui, sans-serif",
        space: 80,
        grid: { show: !isClock, stroke: () => colours().line, width: 1 },
        ticks: { show: isClock, stroke: () => colours().line, size: 5, width: 1 },
        values: (/** @type {Plot} */ _plot, /** @type {Array<number>} */ splits) =>
          isClock ? splits.map((split) => timeInWords(split, view.to - view.from)) : splits.map(() => "")
      },
      { show: false }
    ],
    series: [
      {},
      {
        stroke: bars ? null : colour,
        fill: bars ? colour : () => `color-mix(in srgb, ${colour()} 30%, transparent)`,
        width: bars ? 0 : 1.25,
        points: { show: false },
        // Moments and triggers are drawn by themselves.
        paths:
          lane === null
            ? () => null
            : bars
              ? globalThis.uPlot.paths.bars?.({ size: [0.8, 20] })
              : globalThis.uPlot.paths.stepped?.({ align: 1 })
      }
    ],
    hooks: {
      drawClear: [(/** @type {Plot} */ plot) => drawAcross(drawn(plot), true)],
      draw: [
        (/** @type {Plot} */ plot) => {
          if (id === "moments") drawMoments(drawn(plot))
          if (id === "policy") drawPolicy(drawn(plot))
          drawAcross(drawn(plot), false)
        }
      ],
      setSelect: [
        (/** @type {Plot} */ plot) => {
          const { left, width } = plot.select
          // The others draw the same stretch by the same `look`.
          if (width < 4 || plot.root !== pressed) return
          const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")]
          for (const chart of charts) chart.plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          look(from, to)
        }
      ],
      setCursor: [
        (/** @type {Plot} */ plot) => {
          const { left } = plot.cursor
          if (plot.root !== hovered || left === undefined || left === null || left < 0) return
          point(chart, left, plot.posToVal(left, "x"))
        }
      ]
    }
  }
  const plot = new globalThis.uPlot(options, [new Float64Array([0, 1]), new Float64Array(2)], drawing)
  /** @type {Chart} */
  const chart = { run, lane, plot, drawing, shown: element.querySelector(".shown") }
  plot.over.addEventListener("mousedown", () => (pressed = plot.root))
  plot.over.addEventListener("mouseenter", () => (hovered = plot.root))
  plot.over.addEventListener("mouseleave", () => {
    hovered = null
    pointer.style.display = "none"
  })
  plot.over.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return
    event.preventDefault()
    zoom(event.deltaY + event.deltaX > 0 ? 1.25 : 0.8, plot.posToVal(plot.cursor.left ?? 0, "x"))
  })
  group.classList.add("drawn")
  return chart
}
/** @type {HTMLElement | null} */
let pressed = null
/** @type {HTMLElement | null} */
let hovered = null

for (const group of document.querySelectorAll(".lanes")) {
  const run = runs[Number(/** @type {HTMLElement} */ (group).dataset["run"])]
  if (run === undefined) continue
  for (const element of group.querySelectorAll(".lane")) {
    charts.push(chartOf(run, /** @type {HTMLElement} */ (element), group))
  }
}

/** @type {Readonly<Record<string, () => void>>} */
const actions = {
  in: () => zoom(0.5),
  out: () => zoom(2),
  earlier: () => move(-0.5),
  later: () => move(0.5),
  all
}
for (const button of document.querySelectorAll("button[data-do]")) {
  button.addEventListener("click", () => actions[/** @type {HTMLElement} */ (button).dataset["do"] ?? ""]?.())
}
/** @type {Readonly<Record<string, () => void>>} */
const keys = {
  ArrowLeft: () => move(-0.2),
  ArrowRight: () => move(0.2),
  "+": () => zoom(0.7),
  "=": () => zoom(0.7),
  "-": () => zoom(1 / 0.7),
  0: all,
  Home: () => look(0, view.to - view.from),
  End: () => look(whole.to - (view.to - view.from), whole.to)
}
document.addEventListener("keydown", (event) => {
  const { target } = event
  const isOurs = target === document.body || (target instanceof Element && target.matches(".lanes"))
  const action = keys[event.key]
  if (!isOurs || action === undefined || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  action()
})

/** Every lane is as wide as there is room for it. */
const fit = () => {
  for (const { drawing, plot } of charts) {
    const width = Math.max(120, drawing.clientWidth)
    if (width !== plot.width) plot.setSize({ width, height: plot.height })
  }
  show()
}
new ResizeObserver(fit).observe(one(document, ".runs"))
for (const query of ["(prefers-color-scheme: dark)", "print"]) matchMedia(query).addEventListener("change", fit)
addEventListener("beforeprint", fit)
addEventListener("afterprint", fit)
show()
