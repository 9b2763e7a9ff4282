/**
 * One public error per operation of the {@link Vmm} port, each with a tagged `reason`.
 *
 * @module
 */
import { Schema } from "effect"

/** Why an operation on a machine was refused or failed. `name` is fixed per variant and shared with the core in Rust. */
export const MachineReason = Schema.Struct({
  /** Fixed name of the cause, e.g. `KernelUnreadable`, `DigestMismatch`, `Closed`. */
  name: Schema.String,
  /** What was expected, what was found, what to do. */
  message: Schema.String
})
export type MachineReason = typeof MachineReason.Type

/** A machine could not be made: kernel, initramfs, memory, configuration. */
export class BootError extends Schema.TaggedError<BootError>()("BootError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A machine could not run, be talked to or looked at: closed, already running, faulted. */
export class MachineError extends Schema.TaggedError<MachineError>()("MachineError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A command could not be executed in the guest, or did not end in time. */
export class ExecError extends Schema.TaggedError<ExecError>()("ExecError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** Machine state could not be written. Nothing in the target is a snapshot then. */
export class CaptureError extends Schema.TaggedError<CaptureError>()("CaptureError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A snapshot was refused, before its guest executed anything. */
export class RestoreError extends Schema.TaggedError<RestoreError>()("RestoreError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}

/** A machine could not be forked. */
export class ForkError extends Schema.TaggedError<ForkError>()("ForkError", { reason: MachineReason }) {
  override get message(): string {
    return this.reason.message
  }
}
