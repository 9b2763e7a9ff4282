/**
 * The commands to a run.
 *
 * @module
 */
import type { Firing } from "../Firing.ts"
import type { RecordedError, RunEvent } from "./RunEvent.ts"

type Fields<K extends RunEvent["_tag"]> = Omit<Extract<RunEvent, { readonly _tag: K }>, "_tag">

/** The findings of a recovery on the disk for an interrupted run. */
export interface RecoveryFindings {
  /** A complete snapshot at the run's target that carries the run's id. */
  readonly published: { readonly directory: string; readonly digest: string } | null
  /** Its validation record. */
  readonly validation: "passed" | "failed" | "absent"
}

/** One command, told apart by `_tag`. */
export type RunCommand =
  | ({ readonly _tag: "Start" } & Fields<"RunStarted">)
  | ({ readonly _tag: "RecordBoot" } & Fields<"MachineBooted">)
  /** A trigger fired; while freezing: a higher one took over. */
  | { readonly _tag: "RecordFiring"; readonly firing: Firing }
  | ({ readonly _tag: "RecordFreeze" } & Fields<"GuestFrozen">)
  | ({ readonly _tag: "RecordCapture" } & Fields<"CaptureCompleted">)
  | ({ readonly _tag: "RecordPublish" } & Fields<"SnapshotPublished">)
  /** The captured machine itself is the snapshot: only where no target was given. */
  | { readonly _tag: "KeepInMemory" }
  | {
      readonly _tag: "RecordValidation"
      readonly verdict: "passed" | "failed"
      readonly detail: string
      readonly workingSetPages: number
    }
  | { readonly _tag: "Abandon"; readonly why: string }
  | { readonly _tag: "Fail"; readonly stage: string; readonly error: RecordedError }
  | { readonly _tag: "StartStage"; readonly stage: string; readonly attempt: number }
  | { readonly _tag: "FinishStage"; readonly stage: string; readonly hostNanos: number }
  | { readonly _tag: "RetryStage"; readonly stage: string; readonly attempt: number; readonly error: RecordedError }
  /** The process that ran it is gone: end the run with what the disk shows. */
  | { readonly _tag: "Recover"; readonly findings: RecoveryFindings }
