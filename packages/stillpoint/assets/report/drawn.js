/**
 * The drawing on the canvases besides bars and levels: moments with their labels, the triggers of a policy, and over every lane
 * the calm and the instants of decision and capture.
 *
 * Everything that a guest wrote is drawn as text of a canvas, and is nothing else there.
 *
 * @module
 */

/** @typedef {import("./page.js").Drawn} Drawn */
/** @typedef {{ readonly fromNanos: number, readonly toNanos: number }} Stretch */

/** The colours of the page as it is shown now. */
export const colours = () => {
  const style = getComputedStyle(document.documentElement)
  /** @param {string} name */
  const of = (name) => style.getPropertyValue(`--${name}`).trim()
  return {
    ink: of("ink"),
    muted: of("muted"),
    line: of("line"),
    card: of("card"),
    calm: of("calm"),
    fired: of("fired"),
    captured: of("captured"),
    guest: of("guest"),
    trouble: of("trouble"),
    loser: of("loser"),
    won: of("won")
  }
}

/** @param {number} size @param {string} [weight] */
const font = (size, weight = "400") => `${weight} ${size * devicePixelRatio}px ui-sans-serif, system-ui, sans-serif`

/**
 * Text that is cut off where the room ends.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {string} text
 * @param {number} room
 */
const fitting = (context, text, room) => {
  if (context.measureText(text).width <= room) return text
  let shown = text.slice(0, Math.max(0, Math.floor(room / (4 * devicePixelRatio))))
  while (shown.length > 0 && context.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1)
  return shown === "" ? "" : `${shown}…`
}

/** Rows of labels in the lane of moments. */
const labelRows = 5

/** The order in which labels are placed where there is not room for all. */
const precedence = { captured: 0, fired: 1, trouble: 2, guest: 3 }

/**
 * Moments: a line and a label each, where there is room for it; else the line alone.
 *
 * @param {Drawn} drawn
 */
export const drawMoments = ({ plot, run, view }) => {
  const { bbox, ctx } = plot
  const ink = colours()
  const ratio = devicePixelRatio
  const rowHeight = bbox.height / labelRows
  /** @type {Array<Array<readonly [begin: number, end: number]>>} */
  const taken = Array.from({ length: labelRows }, () => [])
  ctx.save()
  ctx.font = font(11.5)
  ctx.textBaseline = "middle"
  const inView = run.moments.filter(({ atNanos }) => atNanos >= view.from && atNanos <= view.to)
  for (const { atNanos, kind, text } of inView.toSorted(
    (one, other) => precedence[one.kind] - precedence[other.kind]
  )) {
    const x = Math.round(plot.valToPos(atNanos, "x", true))
    const label = fitting(ctx, text, 300 * ratio)
    const size = ctx.measureText(label).width + 14 * ratio
    const isLeft = x + size > bbox.left + bbox.width
    const begin = isLeft ? x - size : x - 4 * ratio
    const end = isLeft ? x + 4 * ratio : x + size
    const isFree = taken.map((row) => row.every(([from, to]) => to < begin || from > end))
    // Outcomes stand below, next to the lanes; the moments that led to them stand above.
    const row = kind === "guest" || kind === "trouble" ? isFree.indexOf(true) : isFree.lastIndexOf(true)
    const y = bbox.top + rowHeight * ((row < 0 ? labelRows : row) + 0.5)
    ctx.lineWidth = ratio
    ctx.strokeStyle = ink[kind]
    ctx.fillStyle = ink[kind]
    ctx.beginPath()
    ctx.moveTo(x, Math.min(y, bbox.top + bbox.height * 0.92))
    ctx.lineTo(x, bbox.top + bbox.height)
    ctx.stroke()
    if (row < 0) continue
    taken[row]?.push([begin, end])
    ctx.beginPath()
    ctx.arc(x, y, 3.5 * ratio, 0, 2 * Math.PI)
    ctx.fill()
    ctx.fillStyle = ink.ink
    ctx.textAlign = isLeft ? "right" : "left"
    // Lines pass behind it.
    ctx.strokeStyle = ink.card
    ctx.lineWidth = 3 * ratio
    ctx.strokeText(label, x + (isLeft ? -8 : 8) * ratio, y)
    ctx.fillText(label, x + (isLeft ? -8 : 8) * ratio, y)
  }
  ctx.restore()
}

/** Height of a trigger's row. */
export const triggerHeight = 24

/**
 * The triggers of the policy, one a row: from where each watched to its end, the wait for calm behind the winner.
 *
 * @param {Drawn} drawn
 */
export const drawPolicy = ({ plot, run }) => {
  if (run.policy === null) return
  const { bbox, ctx } = plot
  const ink = colours()
  const ratio = devicePixelRatio
  const left = bbox.left
  const right = bbox.left + bbox.width
  /** @param {number} nanos */
  const place = (nanos) => Math.min(right, Math.max(left, plot.valToPos(nanos, "x", true)))
  ctx.save()
  ctx.textBaseline = "middle"
  for (const [index, { fromNanos, status, toNanos, trigger }] of run.policy.bars.entries()) {
    const isWinner = status === "won"
    const top = bbox.top + (index * triggerHeight + 4) * ratio
    const height = (triggerHeight - 8) * ratio
    const begin = place(fromNanos)
    const end = Math.max(begin + 2 * ratio, place(toNanos))
    ctx.globalAlpha = isWinner ? 0.28 : 0.18
    ctx.fillStyle = isWinner ? ink.won : ink.loser
    ctx.fillRect(begin, top, end - begin, height)
    ctx.globalAlpha = 1
    ctx.strokeStyle = isWinner ? ink.won : ink.loser
    ctx.lineWidth = ratio
    ctx.setLineDash(isWinner ? [] : [4 * ratio, 3 * ratio])
    ctx.strokeRect(begin + 0.5, top + 0.5, end - begin - 1, height - 1)
    ctx.setLineDash([])
    let occupied = end
    if (isWinner && run.policy.wait !== null) {
      occupied = place(run.policy.wait.toNanos)
      ctx.fillStyle = ink.calm
      ctx.fillRect(end, top, Math.max(0, occupied - end), height)
    }
    ctx.font = font(11.5, isWinner ? "600" : "400")
    const label = `${trigger} · ${status}`
    const inside = end - begin - 12 * ratio
    const outside = right - occupied - 12 * ratio
    const isInside = ctx.measureText(label).width <= inside || inside > outside
    ctx.fillStyle = ink.ink
    ctx.textAlign = "left"
    ctx.fillText(
      fitting(ctx, label, isInside ? inside : outside),
      (isInside ? begin : occupied) + 6 * ratio,
      top + height / 2
    )
  }
  ctx.restore()
}

/**
 * Marks that cross every lane: the calm before the capture behind them, the decision and the capture in front.
 *
 * @param {Drawn} drawn
 * @param {boolean} isBehind
 */
export const drawAcross = ({ plot, run, view }, isBehind) => {
  const { bbox, ctx } = plot
  const ink = colours()
  ctx.save()
  ctx.beginPath()
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
  ctx.clip()
  const calm = run.policy?.calm ?? null
  if (isBehind && calm !== null) {
    const begin = plot.valToPos(calm.fromNanos, "x", true)
    ctx.globalAlpha = 0.22
    ctx.fillStyle = ink.calm
    ctx.fillRect(begin, bbox.top, Math.max(1, plot.valToPos(calm.toNanos, "x", true) - begin), bbox.height)
  }
  if (!isBehind) {
    for (const { atNanos, kind } of run.moments) {
      if ((kind !== "fired" && kind !== "captured") || atNanos < view.from || atNanos > view.to) continue
      const x = Math.round(plot.valToPos(atNanos, "x", true))
      ctx.strokeStyle = ink[kind]
      ctx.lineWidth = (kind === "captured" ? 1.5 : 1) * devicePixelRatio
      ctx.setLineDash(kind === "fired" ? [3 * devicePixelRatio, 3 * devicePixelRatio] : [])
      ctx.beginPath()
      ctx.moveTo(x, bbox.top)
      ctx.lineTo(x, bbox.top + bbox.height)
      ctx.stroke()
    }
  }
  ctx.restore()
}
