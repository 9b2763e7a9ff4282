/**
 * The state of a run: the fold of its events.
 *
 * @module
 */
import type { Firing } from "../Firing.ts"
import type { RecordedError, RunEvent } from "./RunEvent.ts"

type Body<K extends RunEvent["_tag"]> = Omit<Extract<RunEvent, { readonly _tag: K }>, "_tag">

/** Name of a state. */
export type RunPhase =
  | "not-started"
  | "booting"
  | "watching"
  | "freezing"
  | "capturing"
  | "publishing"
  | "validating"
  | "ready"
  | "abandoned"
  | "failed"

/** Every state, in the order in which a run that goes well passes them; the two other ends last. */
export const runPhases: ReadonlyArray<RunPhase> = [
  "not-started",
  "booting",
  "watching",
  "freezing",
  "capturing",
  "publishing",
  "validating",
  "ready",
  "abandoned",
  "failed"
]

/** A run's state, distinguished by `phase`. Each variant has exactly the values known by then. */
export type RunState =
  | { readonly phase: "not-started" }
  | { readonly phase: "booting"; readonly run: Body<"RunStarted"> }
  | { readonly phase: "watching"; readonly run: Body<"RunStarted"> }
  | { readonly phase: "freezing"; readonly run: Body<"RunStarted">; readonly firing: Firing }
  | { readonly phase: "capturing"; readonly run: Body<"RunStarted">; readonly firing: Firing }
  | {
      readonly phase: "publishing"
      readonly run: Body<"RunStarted">
      readonly firing: Firing
      readonly capture: Body<"CaptureCompleted">
    }
  | {
      readonly phase: "validating"
      readonly run: Body<"RunStarted">
      readonly firing: Firing
      readonly published: Body<"SnapshotPublished">
    }
  | {
      readonly phase: "ready"
      readonly run: Body<"RunStarted">
      readonly firing: Firing
      readonly directory: string | null
    }
  | { readonly phase: "abandoned"; readonly run: Body<"RunStarted">; readonly why: string }
  | {
      readonly phase: "failed"
      readonly run: Body<"RunStarted">
      readonly stage: string
      readonly error: RecordedError
    }

/** The state of a run about which nothing is known. */
export const initialState: RunState = { phase: "not-started" }

/** Whether a run has ended. */
export const isEnded = (state: RunState): boolean =>
  state.phase === "ready" || state.phase === "abandoned" || state.phase === "failed"

const without = <T extends { readonly _tag: string }>(event: T): Omit<T, "_tag"> => {
  const { _tag, ...body } = event
  return body
}

/**
 * The state after an event. Pure and total: an event that no decision puts there leaves the state as it is.
 */
export const evolve = (state: RunState, event: RunEvent): RunState => {
  if (event._tag === "RunStarted")
    return state.phase === "not-started" ? { phase: "booting", run: without(event) } : state
  if (state.phase === "not-started" || isEnded(state)) return state
  const run = state.run
  switch (event._tag) {
    case "MachineBooted":
      return state.phase === "booting" ? { phase: "watching", run } : state
    case "TriggerFired":
      return state.phase === "watching" || state.phase === "freezing"
        ? { phase: "freezing", run, firing: event.firing }
        : state
    case "GuestFrozen":
      return state.phase === "freezing" ? { phase: "capturing", run, firing: state.firing } : state
    case "CaptureCompleted":
      return state.phase === "capturing"
        ? { phase: "publishing", run, firing: state.firing, capture: without(event) }
        : state
    case "SnapshotPublished":
      return state.phase === "publishing"
        ? { phase: "validating", run, firing: state.firing, published: without(event) }
        : state
    case "RunReady":
      return state.phase === "publishing" || state.phase === "validating"
        ? { phase: "ready", run, firing: state.firing, directory: event.directory }
        : state
    case "RunAbandoned":
      return { phase: "abandoned", run, why: event.why }
    case "RunFailed":
      return { phase: "failed", run, stage: event.stage, error: event.error }
    case "ValidationPassed":
    case "ValidationFailed":
    case "StageStarted":
    case "StageFinished":
    case "StageRetried":
      return state
  }
}

/** The state after all of some events. */
export const foldRun = (events: Iterable<RunEvent>): RunState => Array.from(events).reduce(evolve, initialState)
