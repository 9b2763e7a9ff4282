/**
 * The events of a run, which its journal holds and from which its state is folded.
 *
 * @module
 */
import { Schema } from "effect"
import { EngineChoice } from "../EngineChoice.ts"
import { Firing } from "../Firing.ts"
import { GuestNanos } from "../GuestEvent.ts"
import { OwnerRecord } from "../files/Owner.ts"

/** An error as a journal keeps it: its tag and its message. */
export const RecordedError = Schema.Struct({ tag: Schema.String, message: Schema.String })
export type RecordedError = typeof RecordedError.Type

const HostNanos = Schema.Number.check(Schema.isFinite(), Schema.isGreaterThanOrEqualTo(0))

/** One event of a run, told apart by `_tag`. */
export const RunEvent = Schema.TaggedUnion({
  RunStarted: {
    runId: Schema.String,
    /** Name of the pipeline. */
    pipeline: Schema.String,
    /** The owner, for readers: while it lives, no other process can claim the run and end it. */
    owner: OwnerRecord,
    policy: Schema.Json,
    configuration: Schema.Json,
    /** The target of the snapshot; `null` if it stays in memory. */
    target: Schema.NullOr(Schema.String),
    isValidated: Schema.Boolean
  },
  MachineBooted: {
    atNanos: GuestNanos,
    engine: Schema.String,
    /** Why it is that engine; absent if that was not recorded. */
    engineChoice: Schema.optionalKey(EngineChoice),
    memoryMib: Schema.Natural,
    /** Stream of the journal with the guest's events; `null` if it is not recorded. */
    guestStream: Schema.NullOr(Schema.String)
  },
  TriggerFired: { firing: Firing },
  /** The guest stands still for the capture. `isWorkloadFrozen`: by the agent's freezer. */
  GuestFrozen: {
    atNanos: GuestNanos,
    isWorkloadFrozen: Schema.Boolean,
    verdict: Schema.Literals(["settled", "deadline", "not-asked"])
  },
  CaptureCompleted: {
    atNanos: GuestNanos,
    seq: Schema.Int,
    /** Host time during which the guest could not run, nanoseconds. */
    pauseNanos: HostNanos,
    /** Bytes that the snapshot occupies on the disk; 0 in memory. */
    storedBytes: Schema.Natural
  },
  SnapshotPublished: { directory: Schema.String, digest: Schema.String },
  ValidationPassed: { detail: Schema.String, workingSetPages: Schema.Natural },
  ValidationFailed: { detail: Schema.String },
  /** The run ended well. `directory` is `null` for a snapshot in memory. */
  RunReady: { directory: Schema.NullOr(Schema.String) },
  /** The run ended by decision: the policy can never fire, or gave up, or a person cancelled. */
  RunAbandoned: { why: Schema.String },
  /** The run ended by an error. */
  RunFailed: { stage: Schema.String, error: RecordedError },
  StageStarted: { stage: Schema.String, attempt: Schema.Natural },
  StageFinished: { stage: Schema.String, hostNanos: HostNanos },
  StageRetried: { stage: Schema.String, attempt: Schema.Natural, error: RecordedError }
})
export type RunEvent = typeof RunEvent.Type

/** The JSON form of a run event. */
export const RunEventJson = Schema.toCodecJson(RunEvent)
