/**
 * A run as data for a picture, with times on the host's clock and on the guest's.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestNanos } from "../GuestEvent.ts"
import type { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { evolve, initialState, isEnded, type RunPhase, type RunState } from "./RunState.ts"
import { readRun, type StampedRunEvent } from "./runStream.ts"

/** A state that a run was in, and for how long. */
export interface PhaseSpan {
  readonly phase: RunPhase
  /** Milliseconds since 1970. */
  readonly fromMillis: number
  /** `null`: it is in it still, or ended in it. */
  readonly toMillis: number | null
}

/** A try of a stage. */
export interface StageSpan {
  readonly stage: string
  readonly attempts: number
  readonly fromMillis: number
  readonly toMillis: number | null
  readonly outcome: "running" | "finished" | "failed"
}

/** A moment on the guest's clock. */
export interface GuestMark {
  readonly atNanos: GuestNanos
  readonly what: "booted" | "fired" | "frozen" | "captured"
  readonly label: string
}

/** A run as a picture shows it. */
export interface RunHistory {
  readonly runId: string
  readonly phases: ReadonlyArray<PhaseSpan>
  readonly stages: ReadonlyArray<StageSpan>
  readonly guest: ReadonlyArray<GuestMark>
}

const guestMark = ({ event }: StampedRunEvent): GuestMark | null => {
  switch (event._tag) {
    case "MachineBooted":
      return { atNanos: event.atNanos, what: "booted", label: `${event.engine}, ${event.memoryMib} MiB` }
    case "TriggerFired":
      return { atNanos: event.firing.atNanos, what: "fired", label: event.firing.trigger }
    case "GuestFrozen":
      return {
        atNanos: event.atNanos,
        what: "frozen",
        label: event.isWorkloadFrozen ? "workload frozen" : event.verdict
      }
    case "CaptureCompleted":
      return { atNanos: event.atNanos, what: "captured", label: `after event ${event.seq}` }
    default:
      return null
  }
}

/** The timeline of a run from its events. Pure. */
export const runHistoryOf = (runId: string, events: ReadonlyArray<StampedRunEvent>): RunHistory => {
  const phases: Array<PhaseSpan> = []
  const stages: Array<StageSpan> = []
  const guest: Array<GuestMark> = []
  let state: RunState = initialState
  for (const stamped of events) {
    const { atMillis, event } = stamped
    const next = evolve(state, event)
    if (next.phase !== state.phase) {
      const last = phases.pop()
      if (last !== undefined) phases.push({ ...last, toMillis: atMillis })
      phases.push({ phase: next.phase, fromMillis: atMillis, toMillis: null })
    }
    state = next
    const mark = guestMark(stamped)
    if (mark !== null) guest.push(mark)
    if (event._tag === "StageStarted") {
      stages.push({
        stage: event.stage,
        attempts: event.attempt,
        fromMillis: atMillis,
        toMillis: null,
        outcome: "running"
      })
      continue
    }
    // The event that ends a run ends the stage that told it: nothing is recorded of a run that has ended.
    if (isEnded(state)) {
      const outcome = state.phase === "ready" ? "finished" : "failed"
      for (const [index, span] of stages.entries())
        if (span.outcome === "running") stages[index] = { ...span, toMillis: atMillis, outcome }
      continue
    }
    const index = stages.findLastIndex(({ outcome }) => outcome === "running")
    const current = stages[index]
    if (current === undefined) continue
    if (event._tag === "StageRetried") stages[index] = { ...current, attempts: event.attempt }
    if (event._tag === "StageFinished") stages[index] = { ...current, toMillis: atMillis, outcome: "finished" }
  }
  return { runId, phases, stages, guest }
}

/** The timeline of a run in the journal; empty for an unknown run. */
export const runHistory = (runId: string): Effect.Effect<RunHistory, JournalError, Journal> =>
  Effect.map(readRun(runId), (events) => runHistoryOf(runId, events))
