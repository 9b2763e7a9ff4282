/**
 * Sandboxes of named snapshots, archives and registries for them, and reports on boots and runs.
 *
 * @module
 */
export { type Exported, exportSnapshot } from "./archive/exportSnapshot.ts"
export { importSnapshot } from "./archive/importSnapshot.ts"
export { ArtifactUnknown, PullBusy } from "./registry/PullErrors.ts"
export { type PulledSnapshot, type PullOptions, pullSnapshot } from "./registry/pullSnapshot.ts"
export { type PushedSnapshot, pushSnapshot } from "./registry/pushSnapshot.ts"
export * from "./report/bootPicture.ts"
export * from "./report/runPicture.ts"
export { report, reportPage } from "./report/report.ts"
export { type ReportedRun, reportedRecording, reportedRun } from "./report/ReportedRun.ts"
export { bake, type BakeOptions, type Baked } from "./sandbox/bake.ts"
export type { ImageOptions, WorkloadOptions } from "./sandbox/imageSpec.ts"
export { type Moment, readMoment } from "./sandbox/readMoment.ts"
export { type CommandResult, explainSnapshot, poolOf, Sandbox, type SandboxOptions } from "./sandbox/Sandbox.ts"
export { ImageNotKept, ImageUnknown, MomentInvalid, OptionsInvalid, SandboxClosed } from "./sandbox/SandboxError.ts"
export { type Abortable, type RunningCommand, Stillpoint } from "./sandbox/Stillpoint.ts"
export type { StillpointOptions } from "./sandbox/sandboxServices.ts"
export { TransferInvalid, TransferVersionUnknown } from "./transfer/TransferErrors.ts"
