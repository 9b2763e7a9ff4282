/**
 * What runs tell beside the stages that begin and end.
 *
 * @module
 */
import type { RunEvent } from "../run/RunEvent.ts"

/** Kinds of what was told, in order, without the beginnings and ends of stages. */
export const factsOf = (events: ReadonlyArray<Pick<RunEvent, "_tag">>): ReadonlyArray<RunEvent["_tag"]> =>
  events.map(({ _tag }) => _tag).filter((tag) => !tag.startsWith("Stage"))

/** What a run tells that captured a frozen guest and published it. */
export const factsOfReadyRun: ReadonlyArray<RunEvent["_tag"]> = [
  "RunStarted",
  "MachineBooted",
  "TriggerFired",
  "GuestFrozen",
  "CaptureCompleted",
  "SnapshotPublished",
  "RunReady"
]
