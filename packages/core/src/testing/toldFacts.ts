/**
 * The events of runs, without the beginnings and ends of stages.
 *
 * @module
 */
import type { RunEvent } from "../run/RunEvent.ts"

/** The kinds of the events, in order, without the beginnings and ends of stages. */
export const factsOf = (events: ReadonlyArray<Pick<RunEvent, "_tag">>): ReadonlyArray<RunEvent["_tag"]> =>
  events.map(({ _tag }) => _tag).filter((tag) => !tag.startsWith("Stage"))

/** The events of a run that captured a frozen guest and published it. */
export const factsOfReadyRun: ReadonlyArray<RunEvent["_tag"]> = [
  "RunStarted",
  "MachineBooted",
  "TriggerFired",
  "GuestFrozen",
  "CaptureCompleted",
  "SnapshotPublished",
  "RunReady"
]
