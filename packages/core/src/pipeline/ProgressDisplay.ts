/**
 * Progress as a person sees it in a terminal: one line a run, redrawn in place; or one line a step where there is no terminal.
 *
 * @module
 */
import { Effect, Layer } from "effect"
import { type Progress, ProgressListener } from "./Progress.ts"

/** The state of one stage in the display. */
interface StageLine {
  readonly stage: string
  readonly status: Progress["status"]
  readonly hostNanos: number
  readonly attempt: number
  readonly detail: string
}

/** The content of a display: runs in the order in which they began, and their stages likewise. */
export type ProgressView = ReadonlyMap<string, ReadonlyArray<StageLine>>

/** The view of nothing. */
export const emptyProgress: ProgressView = new Map()

/** The view after one more step. Pure. */
export const viewProgress = (view: ProgressView, progress: Progress): ProgressView => {
  const { attempt, detail, hostNanos, runId, stage, status } = progress
  const line: StageLine = { stage, status, hostNanos, attempt, detail }
  const lines = view.get(runId) ?? []
  const index = lines.findLastIndex((each) => each.stage === stage)
  const next = index < 0 || status === "started" ? [...lines, line] : lines.with(index, line)
  return new Map(view).set(runId, next)
}

const signs: Readonly<Record<Progress["status"], string>> = {
  started: "…",
  finished: "✓",
  retrying: "↻",
  failed: "✗",
  cancelled: "–"
}

const duration = (nanos: number): string =>
  nanos < 1e9 ? `${Math.round(nanos / 1e6)} ms` : `${(nanos / 1e9).toFixed(1)} s`

const describe = ({ attempt, detail, hostNanos, stage, status }: StageLine): string => {
  const tries = attempt > 1 ? ` (try ${attempt})` : ""
  const time = status === "started" ? "" : ` ${duration(hostNanos)}`
  const why = detail === "" ? "" : `: ${detail}`
  return `${signs[status]} ${stage}${tries}${time}${why}`
}

/** One line for every run: its stages so far. Cut to the width of the terminal. Pure. */
export const renderProgress = (view: ProgressView, columns: number): ReadonlyArray<string> =>
  [...view].map(([runId, lines]) => {
    const text = `${runId.slice(0, 8)}  ${lines.map(describe).join("  ")}`
    return text.length <= columns ? text : `${text.slice(0, Math.max(0, columns - 1))}…`
  })

/** The output of a display. */
export interface ProgressOutput {
  readonly write: (text: string) => void
  /** Whether lines can be redrawn in place. */
  readonly isTTY?: boolean | undefined
  readonly columns?: number | undefined
}

/**
 * Shows the progress of all runs below it on an output; standard error if absent.
 *
 * @example
 * ```ts
 * import { Pipeline, ProgressDisplay } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * export const shown = (run: ReturnType<typeof Pipeline.run>) => run.pipe(Effect.provide(ProgressDisplay.layer()))
 * ```
 */
export const ProgressDisplay = {
  layer: (output: ProgressOutput = process.stderr): Layer.Layer<never> =>
    Layer.sync(ProgressListener, () => {
      let view = emptyProgress
      let drawn = 0
      return (progress: Progress) =>
        Effect.sync(() => {
          view = viewProgress(view, progress)
          if (output.isTTY !== true) {
            output.write(`${progress.runId.slice(0, 8)}  ${describe(progress)}\n`)
            return
          }
          const lines = renderProgress(view, output.columns ?? 80)
          // Up to the first line of the last drawing, and over it.
          const up = drawn === 0 ? "" : `\u001B[${drawn}A`
          output.write(`${up}${lines.map((line) => `\u001B[2K${line}\n`).join("")}`)
          drawn = lines.length
        })
    })
} as const
