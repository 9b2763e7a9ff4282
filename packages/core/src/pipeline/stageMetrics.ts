/**
 * Metrics of pipelines, through Effect's `Metric`.
 *
 * @module
 */
import { Metric } from "effect"

const hostMillis = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000]

/** Host time of every stage that finished, milliseconds, by attribute `stage`. */
export const stageDuration = Metric.histogram("stillpoint_stage_millis", {
  description: "Host time of pipeline stages in milliseconds",
  boundaries: hostMillis
})

/** Stages that failed, by attributes `stage` and `error`. */
export const stageFailures = Metric.counter("stillpoint_stage_failures_total", {
  description: "Pipeline stages that failed",
  incremental: true
})

/** Host time during which guests could not run because of a capture, milliseconds. */
export const capturePause = Metric.histogram("stillpoint_capture_pause_millis", {
  description: "Pause of guests for a capture in milliseconds",
  boundaries: hostMillis
})

/** Runs that ended, by attribute `outcome`. */
export const runsEnded = Metric.counter("stillpoint_runs_ended_total", {
  description: "Runs that ended",
  incremental: true
})
