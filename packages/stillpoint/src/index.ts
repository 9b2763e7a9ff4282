/**
 * Sandboxes of named snapshots, archives and registries for them, and reports on boots and runs; and all that the libraries export.
 *
 * @module
 */
export * from "@stillpoint/core"
export * from "@stillpoint/images"
export * from "@stillpoint/kit"
export * from "@stillpoint/native"
export * from "@stillpoint/triggers"
// Of the two of that name, the one with functions; the type of the other is a policy's.
export { Trigger } from "@stillpoint/triggers"
export { type Exported, exportSnapshot } from "./archive/exportSnapshot.ts"
export { importSnapshot } from "./archive/importSnapshot.ts"
export { ArtifactUnknown, PullBusy } from "./registry/PullErrors.ts"
export { type ArrivingSnapshot, type LazyPullOptions, pullLazily } from "./registry/pullLazily.ts"
export { type PulledSnapshot, type PullOptions, pullSnapshot } from "./registry/pullSnapshot.ts"
export { type PushedSnapshot, pushSnapshot } from "./registry/pushSnapshot.ts"
export * from "./report/bootPicture.ts"
export * from "./report/runPicture.ts"
export { report, reportPage } from "./report/report.ts"
export { type ReportedRun, reportedRecording, reportedRun } from "./report/ReportedRun.ts"
export { bake, type BakeOptions, type Baked } from "./sandbox/bake.ts"
export type { PlatformName } from "./sandbox/platforms.ts"
export { explainSnapshot } from "./sandbox/explainSnapshot.ts"
export type { ImageOptions, WorkloadOptions } from "./sandbox/imageSpec.ts"
export { type Moment, readMoment } from "./sandbox/readMoment.ts"
export {
  type CommandResult,
  poolOf,
  Sandbox,
  type SandboxOptions,
  type ServePool,
  type ServeSnapshotOptions
} from "./sandbox/Sandbox.ts"
export {
  BakeNotValid,
  ImageNotKept,
  ImageUnknown,
  MomentInvalid,
  PlatformUnusable,
  SandboxClosed,
  StoreFull
} from "./sandbox/SandboxError.ts"
export type { Abortable } from "./sandbox/abortable.ts"
export { type RunningCommand, Stillpoint } from "./sandbox/Stillpoint.ts"
export { type ServedOptions, ServedSnapshot } from "./sandbox/ServedSnapshot.ts"
export type { StoreOptions } from "./sandbox/storedSnapshots.ts"
export type { StillpointOptions } from "./sandbox/sandboxServices.ts"
export { TransferInvalid, TransferVersionUnknown } from "./transfer/TransferErrors.ts"
