/**
 * The story of a run, in words.
 *
 * @module
 */
import { Effect } from "effect"
import type { Firing } from "../Firing.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"
import type { Journal } from "../journal/Journal.ts"
import type { JournalError } from "../journal/JournalErrors.ts"
import { foldRun, type RunState } from "./RunState.ts"
import { readRun, type StampedRunEvent } from "./runStream.ts"
import { type RunTimeline, runTimelineOf } from "./runTimeline.ts"

/** A run, told. */
export interface RunStory {
  /** One sentence a line, in the order in which things happened. */
  readonly text: string
  readonly state: RunState
  /** The same as data; `runPicture` draws it. */
  readonly timeline: RunTimeline
  /** The decision that the run came to, if it came to one. */
  readonly firing: Firing | null
}

const guestTime = (nanos: number): string => `${guestTimeInWords(nanos)} of guest time`

const causeOf = ({ cause }: Firing): string => {
  switch (cause._tag) {
    case "Event":
      return `event ${cause.event.seq}, ${cause.event._tag}`
    case "Timer":
      return `its timer, set at ${guestTime(cause.setAtNanos)}`
    case "Signal":
      return `probe ${cause.signal.probe}, which ${cause.signal.outcome}`
  }
}

const calmOf = ({ quiesce }: Firing): string =>
  quiesce === null
    ? ""
    : ` The guest was then calm for ${guestTimeInWords(quiesce.calmNanos)} of the ${guestTimeInWords(quiesce.calmForNanos)} asked for` +
      ` (${quiesce.verdict}, ${quiesce.restarts === 1 ? "1 restart" : `${quiesce.restarts} restarts`}).`

const losersOf = ({ losers }: Firing): string =>
  losers.length === 0
    ? ""
    : ` Others: ${losers.map(({ progress, status, trigger }) => `${trigger} ${status}${progress === "" ? "" : ` (${progress})`}`).join(", ")}.`

const tell = ({ event }: StampedRunEvent): string | null => {
  switch (event._tag) {
    case "RunStarted":
      return (
        `Pipeline ${event.pipeline} began; its snapshot ${event.target === null ? "stays in memory" : `goes to ${event.target}`}` +
        `${event.isValidated ? ", and is validated before it is ready" : ""}.`
      )
    case "MachineBooted":
      return `A ${event.engine} machine with ${event.memoryMib} MiB was made.`
    case "TriggerFired":
      return (
        `${event.firing.trigger} decided at ${guestTime(event.firing.atNanos)}, on ${causeOf(event.firing)}; ` +
        `it had waited for ${event.firing.waitedFor}.${calmOf(event.firing)}${losersOf(event.firing)}`
      )
    case "GuestQuiesced":
      return event.isWorkloadFrozen
        ? `The agent had the workload frozen at ${guestTime(event.atNanos)}.`
        : `The guest stood at ${guestTime(event.atNanos)}; its workload did not have to be frozen.`
    case "CaptureCompleted":
      return (
        `It was captured at ${guestTime(event.atNanos)}, after event ${event.seq}, with a pause of ` +
        `${(event.pauseNanos / 1e6).toFixed(2)} ms; ${event.storedBytes} bytes were stored.`
      )
    case "SnapshotPublished":
      return `The snapshot was published to ${event.directory}, digest ${event.digest.slice(0, 12)}.`
    case "ValidationPassed":
      return `A clone of it passed the probe${event.detail === "" ? "" : ` (${event.detail})`} and touched ${event.workingSetPages} pages.`
    case "ValidationFailed":
      return `A clone of it failed the probe: ${event.detail}.`
    case "RunReady":
      return event.directory === null ? "It is ready, in memory." : `It is ready at ${event.directory}.`
    case "RunAbandoned":
      return `The run was abandoned: ${event.why}.`
    case "RunFailed":
      return `The run failed in ${event.stage}: ${event.error.tag}: ${event.error.message}`
    case "StageRetried":
      return `${event.stage} was tried again (${event.attempt}): ${event.error.message}`
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
    timeline: runTimelineOf(runId, events),
    firing: firing?._tag === "TriggerFired" ? firing.firing : null
  }
}

/**
 * Why a run came out as it did: from its journal alone, at any time, in any process.
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
