/**
 * One public error per operation of the {@link Vmm} port, each with a tagged `reason`.
 *
 * A reason's `_tag` is the fixed name of the cause, the same as in the Rust core. Its `message` says what was expected, what was
 * found and what to do.
 *
 * @module
 */
import { Schema } from "effect"
import { rejectReasons } from "./contract/contract.ts"

const said = {
  /** What was expected, what was found, what to do. */
  message: Schema.String
} as const

/** Errors of guest memory that any operation can have. */
const memory = {
  MemoryOutOfRange: said,
  SnapshotChunkCorrupt: said,
  SnapshotChunkUnreadable: said,
  MemoryExhausted: said
} as const

/** Errors of the host: an internal error of the core, or no thread available. */
const host = { Panicked: said, NoThread: said } as const

/** Errors that any operation on a machine can have. */
const session = { Closed: said, ...host } as const

/** Errors of a machine's disk. */
const disk = {
  DiskInvalid: said,
  DiskNameTaken: said,
  DiskUnreadable: said,
  DiskSizeWrong: said,
  DiskInUse: said
} as const

/** The encryption key is not the one that the snapshot needs; the message names both by their ids. */
const encryption = { KeyMissing: said, KeyWrong: said, NotEncrypted: said } as const

/** Operations that a recorded timeline does not support. */
const recording = { NotInARecording: said } as const

/** Why a machine could not boot. */
export const BootReason = Schema.TaggedUnion({
  InvalidConfiguration: said,
  MemorySizeInvalid: said,
  SampleStepInvalid: said,
  EngineUnknown: said,
  /** This host lacks what the engine needs; the message says what, and what to do. */
  EngineUnusable: said,
  MachineInvalid: said,
  KernelUnreadable: said,
  KernelUnknown: said,
  /** The host lacks what the engine needs for such a kernel. */
  EngineUnfit: said,
  KernelDamaged: said,
  KernelTooLarge: said,
  KernelOutsideMemory: said,
  InitramfsUnreadable: said,
  InitramfsTooLarge: said,
  RootTooLarge: said,
  MemoryTooSmall: said,
  CommandLineInvalid: said,
  DeviceTreeFailed: said,
  TooManyDisks: said,
  ...disk,
  ...memory,
  ...host
})
export type BootReason = typeof BootReason.Type

/** Why a machine could not run or answer. */
export const MachineFailureReason = Schema.TaggedUnion({
  InvalidRun: said,
  InvalidIdentity: said,
  InvalidWorkload: said,
  AlreadyRunning: said,
  EventsLost: said,
  FrameTooLarge: said,
  TooLittleEntropy: said,
  FrameInvalid: said,
  RenewalInvalid: said,
  PortUnknown: said,
  InputFull: said,
  MachineEnded: said,
  RegisterUnknown: said,
  FramesInvalid: said,
  /** The machine was booted without a network. */
  InterfaceMissing: said,
  NetworkInvalid: said,
  PortInUse: said,
  PortPrivileged: said,
  AddressUnknown: said,
  TooManyPorts: said,
  HostRefused: said,
  /** The recording has ended, so there is nothing left to run. */
  RecordingEnded: said,
  ...memory,
  ...session
})
export type MachineFailureReason = typeof MachineFailureReason.Type

/** Why a command did not run or did not finish. */
export const ExecReason = Schema.TaggedUnion({
  InvalidCommand: said,
  /** The command did not start: at which step, and the guest's error number. A program that is missing is step `exec`, number 2. */
  ExecFailed: { step: Schema.String, errno: Schema.Natural, ...said },
  /** The agent refused the command, for one of the contract's reasons. */
  AgentRejected: { why: Schema.Literals(rejectReasons), ...said },
  GuestEnded: said,
  TimedOut: said,
  TooMuchOutput: said,
  /** The command has filled its output window, and its output is not read. */
  OutputUnread: said,
  /** The command accepts no more input. */
  InputClosed: said,
  AgentAbsent: said,
  ...recording
})
export type ExecReason = typeof ExecReason.Type

/** Why machine state could not be written. */
export const CaptureReason = Schema.TaggedUnion({
  MachineFaulted: said,
  EngineFailed: said,
  ParentUnknown: said,
  DirectoryUnusable: said,
  FileExists: said,
  DiskFull: said,
  WriteFailed: said,
  DiskChanged: said,
  DiskUnreadable: said,
  ...encryption,
  ...memory,
  ...session,
  ...recording
})
export type CaptureReason = typeof CaptureReason.Type

/** Why a snapshot was refused. */
export const RestoreReason = Schema.TaggedUnion({
  SnapshotMissing: said,
  FileMissing: said,
  FileUnreadable: said,
  FileSizeWrong: said,
  NotASnapshot: said,
  VersionUnsupported: said,
  FileCorrupt: said,
  FileInvalid: said,
  IdMismatch: said,
  EngineMismatch: said,
  MachineInvalid: said,
  ParentMissing: said,
  ParentMismatch: said,
  StateInvalid: said,
  EngineFailed: said,
  DiskUnknown: said,
  DiskIsCopy: said,
  DiskUnreadable: said,
  DiskSizeWrong: said,
  DiskInUse: said,
  ...encryption,
  /** Someone without the encryption key has changed the snapshot. */
  FileForged: said,
  ...memory,
  ...host,
  ...recording
})
export type RestoreReason = typeof RestoreReason.Type

/** Why a machine could not be forked. */
export const ForkReason = Schema.TaggedUnion({ MachineFaulted: said, EngineFailed: said, ...session })
export type ForkReason = typeof ForkReason.Type

/** Why a disk could not be attached to a slot of a machine. */
export const AttachReason = Schema.TaggedUnion({
  SlotUnknown: said,
  SlotTaken: said,
  MachineEnded: said,
  ...disk,
  ...session,
  ...recording
})
export type AttachReason = typeof AttachReason.Type

/** Why any operation on a machine was refused or failed. */
export const MachineReason = Schema.Union([
  BootReason,
  MachineFailureReason,
  ExecReason,
  CaptureReason,
  RestoreReason,
  ForkReason,
  AttachReason
])
export type MachineReason = typeof MachineReason.Type

/** A machine could not be made: a problem with the kernel, initramfs, memory or configuration. */
export class BootError extends Schema.TaggedError<BootError>()("BootError", { reason: BootReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A machine could not run or answer: it is closed, already running, or has faulted. */
export class MachineError extends Schema.TaggedError<MachineError>()("MachineError", { reason: MachineFailureReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A command could not be executed in the guest, or did not end in time. */
export class ExecError extends Schema.TaggedError<ExecError>()("ExecError", { reason: ExecReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** Machine state could not be written. The target contains no snapshot. */
export class CaptureError extends Schema.TaggedError<CaptureError>()("CaptureError", { reason: CaptureReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A snapshot was refused before its guest executed anything. */
export class RestoreError extends Schema.TaggedError<RestoreError>()("RestoreError", { reason: RestoreReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A machine could not be forked. */
export class ForkError extends Schema.TaggedError<ForkError>()("ForkError", { reason: ForkReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A disk could not be attached to a slot. The machine is unchanged. */
export class AttachError extends Schema.TaggedError<AttachError>()("AttachError", { reason: AttachReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** The reasons of each error, by the error's name; `Object.keys(machineReasons.BootError.cases)` are their tags. */
export const machineReasons = {
  BootError: BootReason,
  MachineError: MachineFailureReason,
  ExecError: ExecReason,
  CaptureError: CaptureReason,
  RestoreError: RestoreReason,
  ForkError: ForkReason,
  AttachError: AttachReason
} as const
