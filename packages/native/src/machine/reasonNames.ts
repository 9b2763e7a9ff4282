/**
 * The names that a failure's `reason` can have, by the error that it comes in. The same as in the core in Rust; a test
 * sends every variant across and compares.
 *
 * @module
 */

const memory = ["MemoryOutOfRange", "SnapshotChunkCorrupt", "SnapshotChunkUnreadable", "MemoryExhausted"] as const

/** Reasons that making a machine can have beside its own: an error of the core's own, a host without threads. */
const host = ["Panicked", "NoThread"] as const

/** Reasons that every operation on a machine can have. */
const session = ["Closed", ...host] as const

/** Each public error's reasons, as `reason.name` has them. */
export const reasonNames = {
  BootError: [
    "InvalidConfiguration",
    "MemorySizeInvalid",
    "SampleStepInvalid",
    "KernelUnreadable",
    "KernelUnknown",
    "KernelDamaged",
    "KernelTooLarge",
    "KernelOutsideMemory",
    "InitramfsUnreadable",
    "InitramfsTooLarge",
    "MemoryTooSmall",
    "CommandLineInvalid",
    "DeviceTreeFailed",
    ...memory,
    ...host
  ],
  MachineError: [
    "InvalidRun",
    "InvalidIdentity",
    "AlreadyRunning",
    "EventsLost",
    "FrameTooLarge",
    "TooLittleEntropy",
    "FrameInvalid",
    "RenewalInvalid",
    "PortUnknown",
    "InputFull",
    "MachineEnded",
    "RegisterUnknown",
    ...memory,
    ...session
  ],
  ExecError: ["InvalidCommand", "ExecFailed", "AgentRejected", "GuestEnded", "TimedOut", "TooMuchOutput"],
  CaptureError: [
    "MachineFaulted",
    "EngineFailed",
    "ParentUnknown",
    "DirectoryUnusable",
    "FileExists",
    "DiskFull",
    "WriteFailed",
    ...memory,
    ...session
  ],
  RestoreError: [
    "SnapshotMissing",
    "FileMissing",
    "FileUnreadable",
    "FileSizeWrong",
    "NotASnapshot",
    "VersionUnsupported",
    "FileCorrupt",
    "FileInvalid",
    "IdMismatch",
    "EngineMismatch",
    "ParentMissing",
    "ParentMismatch",
    "StateInvalid",
    "EngineFailed",
    ...memory,
    ...host
  ],
  ForkError: ["MachineFaulted", "EngineFailed", ...session]
} as const

/** The errors of the port by name. */
export type OperationError = keyof typeof reasonNames

/** The names of the reasons of one error. */
export type ReasonName<E extends OperationError> = (typeof reasonNames)[E][number]
