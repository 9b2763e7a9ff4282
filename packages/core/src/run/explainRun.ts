/**
 * The story of a run, in words.
 *
 * @module
 */
import { Effect } from "effect"
import type { Firing } from "../Firing.ts"
import { engineInWords } from "../EngineChoice.ts"
import { explain } from "../explaining/explain.ts"
import { oneLine } from "../explaining/quoting.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import type { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { foldRun, type RunState } from "./RunState.ts"
import { readRun, type StampedRunEvent } from "./runStream.ts"
import { type RunHistory, runHistoryOf } from "./runHistory.ts"

/** A run, told. */
export interface RunStory {
  /** One sentence a line, in the order in which things happened. */
  readonly text: string
  readonly state: RunState
  /** The same as data; `runPicture` of the package `stillpoint` draws it. */
  readonly timeline: RunHistory
  /** The decision that the run came to, if it came to one. */
  readonly firing: Firing | null
}

const guestTime = (nanos: number): string => `${guestTimeInWords(nanos)} of guest time`

const tell = ({ event }: StampedRunEvent): string | null => {
  switch (event._tag) {
    case "RunStarted":
      return (
        `Pipeline ${oneLine(event.pipeline)} began; its snapshot ${event.target === null ? "stays in memory" : `goes to ${oneLine(event.target)}`}` +
        `${event.isValidated ? ", and is validated before it is ready" : ""}.`
      )
    case "MachineBooted":
      return `A machine with ${event.memoryMib} MiB was made, on engine ${oneLine(engineInWords(event.engine, event.engineChoice))}.`
    case "TriggerFired":
      return explain(event.firing).text
    case "GuestFrozen":
      return event.isWorkloadFrozen
        ? `The agent had the workload frozen at ${guestTime(event.atNanos)}.`
        : `The guest stood at ${guestTime(event.atNanos)}; its workload did not have to be frozen.`
    case "CaptureCompleted":
      return (
        `It was captured at ${guestTime(event.atNanos)}, after event ${event.seq}, with a pause of ` +
        `${guestTimeInWords(Math.round(event.pauseNanos))}; ${event.storedBytes} bytes were stored.`
      )
    case "SnapshotPublished":
      return `The snapshot was published to ${oneLine(event.directory)}, digest ${event.digest.slice(0, 12)}.`
    case "ValidationPassed":
      return `A clone of it passed the probe${event.detail === "" ? "" : ` (${oneLine(event.detail)})`} and touched ${event.workingSetPages} pages.`
    case "ValidationFailed":
      return `A clone of it failed the probe: ${oneLine(event.detail)}.`
    case "RunReady":
      return event.directory === null ? "It is ready, in memory." : `It is ready at ${oneLine(event.directory)}.`
    case "RunAbandoned":
      return `The run was abandoned: ${oneLine(event.why)}.`
    case "RunFailed":
      return `The run failed in ${oneLine(event.stage)}: ${oneLine(event.error.tag)}: ${oneLine(event.error.message)}`
    case "StageRetried":
      return `${oneLine(event.stage)} was tried again (${event.attempt}): ${oneLine(event.error.message)}`
    case "StageStarted":
    case "StageFinished":
      return null
  }
}

/** The story of a run from its events. Pure. */
export const storyOf = (runId: string, events: ReadonlyArray<StampedRunEvent>): RunStory => {
  const firing = events.findLast(({ event }) => event._tag === "TriggerFired")?.event
  return {
    text: events.flatMap((event) => tell(event) ?? []).join("\n"),
    state: foldRun(events.map(({ event }) => event)),
    timeline: runHistoryOf(runId, events),
    firing: firing?._tag === "TriggerFired" ? firing.firing : null
  }
}

/**
 * Explains the outcome of a run from its journal alone, at any time, in any process.
 *
 * @example
 * ```ts
 * import { explainRun, Journal } from "@stillpoint/core"
 * import { Effect } from "effect"
 *
 * const story = await Effect.runPromise(explainRun("nobody").pipe(Effect.provide(Journal.layerMemory)))
 * console.log(story.state.phase) // not-started
 * ```
 */
export const explainRun = (runId: string): Effect.Effect<RunStory, JournalError, Journal> =>
  Effect.map(readRun(runId), (events) => storyOf(runId, events))
