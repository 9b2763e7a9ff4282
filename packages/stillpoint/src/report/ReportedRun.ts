/**
 * The content of a report: a guest's boot, the decision, the run around it, and the restores since.
 *
 * @module
 */
import {
  decodeTimeline,
  type Firing,
  FiringJson,
  type GuestEvent,
  listRuns,
  parseName,
  readGuest,
  readRun,
  type RecordedTimeline,
  Snapshots,
  SnapshotStore,
  type StampedRunEvent,
  type StoredSnapshot
} from "@stillpoint/core"
import { Effect, Option, Result, Schema } from "effect"
import { noRestores, readRestores, type Restores } from "../sandbox/Restores.ts"

/** The data of one run in a report. Unknown values are `null` or empty. */
export interface ReportedRun {
  readonly title: string
  readonly runId: string | null
  readonly events: ReadonlyArray<GuestEvent>
  readonly firing: Firing | null
  /** The run's own events, on the host's clock. */
  readonly run: ReadonlyArray<StampedRunEvent>
  readonly stored: StoredSnapshot | null
  /** Those of this host. */
  readonly restores: Restores
}

/** A recording on its own: a boot without a decision. */
export const reportedRecording = (title: string, { events }: Pick<RecordedTimeline, "events">): ReportedRun => ({
  title,
  runId: null,
  events,
  firing: null,
  run: [],
  stored: null,
  restores: noRestores
})

const reportedSnapshot = Effect.fnUntraced(function* (reference: string) {
  const snapshots = yield* Snapshots
  const snapshot = yield* snapshots.get(reference, { allowUnvalidated: true })
  const { digest, provenance, runId } = snapshot.manifest
  const stored = yield* snapshots.inspect(digest)
  const recorded = decodeTimeline(yield* SnapshotStore.use((store) => store.timeline(snapshot)))
  return {
    // By the name that was asked for, of several.
    title: Result.isSuccess(parseName(reference)) ? reference : (stored.names[0] ?? digest.slice(0, 12)),
    runId,
    events: Result.isSuccess(recorded) ? recorded.success.events : [],
    firing: Option.getOrNull(Schema.decodeUnknownOption(FiringJson)(provenance)),
    // The run is in the journal of its host; an imported snapshot has none here.
    run: yield* Effect.orElseSucceed(readRun(runId), () => []),
    stored,
    restores: yield* readRestores(digest)
  } satisfies ReportedRun
})

const reportedJournalRun = Effect.fnUntraced(function* (runId: string) {
  const run = yield* readRun(runId)
  const booted = run.find(({ event }) => event._tag === "MachineBooted")?.event
  const fired = run.findLast(({ event }) => event._tag === "TriggerFired")?.event
  const guestStream = booted?._tag === "MachineBooted" ? booted.guestStream : null
  return {
    title: `run ${runId.slice(0, 12)}`,
    runId,
    events: guestStream === null ? [] : yield* readGuest(guestStream),
    firing: fired?._tag === "TriggerFired" ? fired.firing : null,
    run,
    stored: null,
    restores: noRestores
  } satisfies ReportedRun
})

/** Finds a snapshot by its name or digest, or else a run of the journal by its id or the beginning of its id. */
export const reportedRun = Effect.fn("reportedRun")(function* (reference: string) {
  return yield* Effect.catchIf(
    reportedSnapshot(reference),
    (error) => "reason" in error && error.reason._tag === "SnapshotUnknown",
    (error) =>
      Effect.gen(function* () {
        const runs = yield* listRuns
        const [found, ...others] = runs.filter((runId) => runId.startsWith(reference))
        if (found === undefined || others.length > 0) return yield* error
        return yield* reportedJournalRun(found)
      })
  )
})
