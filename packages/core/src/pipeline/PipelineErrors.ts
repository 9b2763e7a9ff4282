/**
 * Errors of the stages of a pipeline, besides those of the ports they use.
 *
 * @module
 */
import { Schema } from "effect"
import { adviceOnPanic } from "../agent/kernelReports.ts"
import { guestEventFields } from "../contract/contract.ts"
import { GuestNanos } from "../GuestEvent.ts"
import { guestTimeInWords } from "../guestTimeInWords.ts"

/** The arguments of a run are invalid; nothing was booted. */
export class PipelineRefused extends Schema.TaggedError<PipelineRefused>()("PipelineRefused", {
  pipeline: Schema.String,
  problems: Schema.NonEmptyArray(Schema.String)
}) {
  override get message(): string {
    return `pipeline ${this.pipeline} cannot begin:${this.problems.map((problem) => `\n  ${problem}`).join("")}`
  }
}

/** A stage exceeded its time limit on the host. */
export class StageTimedOut extends Schema.TaggedError<StageTimedOut>()("StageTimedOut", {
  stage: Schema.String,
  limitMillis: Schema.Number
}) {
  override get message(): string {
    return `stage ${this.stage} did not end within ${this.limitMillis} ms; give it more time with Stage.tuned, or find out what it is waiting for`
  }
}

/** The agent could not start the workload, and the policy does not wait for that failure. */
export class WorkloadNotStarted extends Schema.TaggedError<WorkloadNotStarted>()("WorkloadNotStarted", {
  /** The step that failed, as the agent names it, such as `exec` for a missing program. */
  step: Schema.String,
  errno: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `the workload was not started (${this.step}, errno ${this.errno}): ${this.detail}; check its argv and the guest's files`
  }
}

/** The workload ended, and the policy waits only for events that a workload causes. */
export class WorkloadEnded extends Schema.TaggedError<WorkloadEnded>()("WorkloadEnded", {
  policy: Schema.String,
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.Int),
  atNanos: GuestNanos,
  /** Kinds of events that the policy waited for. */
  kinds: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const how = this.code === null ? `signal ${this.signal}` : `code ${this.code}`
    return (
      `the workload ended with ${how} at ${guestTimeInWords(this.atNanos)} of guest time, and policy ${this.policy} waits for ` +
      `${this.kinds.join(", ")}, which can no longer happen; find out why the workload ended, or let the policy accept WorkloadExited`
    )
  }
}

/** The guest's kernel reported that it could not unpack the whole root, so files are missing in this guest. */
export class RootIncomplete extends Schema.TaggedError<RootIncomplete>()("RootIncomplete", {
  /** The kernel's words. */
  report: Schema.String,
  atNanos: GuestNanos,
  memoryMib: Schema.NullOr(Schema.Int)
}) {
  override get message(): string {
    const found = this.memoryMib === null ? "" : ` of ${this.memoryMib} MiB`
    return (
      `expected the kernel to unpack the guest's whole root, found that it could not (${this.report}) at ` +
      `${guestTimeInWords(this.atNanos)} of guest time; the files of a root may take half of the memory${found} that the kernel ` +
      "leaves free: give the machine more memory, or make the root smaller"
    )
  }
}

/** The guest's kernel panicked, so the guest ended before the policy fired. */
export class KernelPanicked extends Schema.TaggedError<KernelPanicked>()("KernelPanicked", {
  policy: Schema.String,
  /** The kernel's words. */
  panic: Schema.String,
  atNanos: GuestNanos
}) {
  override get message(): string {
    return (
      `the guest's kernel panicked at ${guestTimeInWords(this.atNanos)} of guest time, before policy ${this.policy} fired: ` +
      `${this.panic}; ${adviceOnPanic(this.panic)}`
    )
  }
}

/** A limit as it is given: in minutes where it is whole ones. */
const limitInWords = (millis: number): string => {
  const minutes = millis / 60_000
  if (!Number.isInteger(minutes)) return guestTimeInWords(millis * 1e6)
  return minutes === 1 ? "1 minute" : `${minutes} minutes`
}

/** The policy did not fire within its limit of guest time. */
export class WatchLimitReached extends Schema.TaggedError<WatchLimitReached>()("WatchLimitReached", {
  policy: Schema.String,
  limitMillis: Schema.Number,
  /** Kinds of events that the policy waited for. */
  kinds: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return (
      `policy ${this.policy} did not fire within ${limitInWords(this.limitMillis)} of guest time; it waits for ` +
      `${this.kinds.length === 0 ? "no event" : this.kinds.join(", ")}: give it a deadline, such as | after 1m in an expression, ` +
      "or in a program a longer watchLimit"
    )
  }
}

/** A warm-up command in the guest failed. */
export class WarmUpFailed extends Schema.TaggedError<WarmUpFailed>()("WarmUpFailed", {
  argv: Schema.Array(Schema.String),
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.Int),
  stderr: Schema.String
}) {
  override get message(): string {
    const how = this.code === null ? `signal ${this.signal}` : `code ${this.code}`
    return `warm-up ${this.argv.join(" ")} ended with ${how}, expected code 0: ${this.stderr.trim()}`
  }
}

/** A validation's command in a clone failed. */
export class ProbeCommandFailed extends Schema.TaggedError<ProbeCommandFailed>()("ProbeCommandFailed", {
  argv: Schema.Array(Schema.String),
  code: Schema.NullOr(Schema.Int),
  signal: Schema.NullOr(Schema.Int),
  stderr: Schema.String
}) {
  override get message(): string {
    const how = this.code === null ? `signal ${this.signal}` : `code ${this.code}`
    return `${this.argv.join(" ")} ended with ${how}, expected code 0: ${this.stderr}`
  }
}

/** The agent did not freeze the workload, so a clone could run it before it has a new identity. */
export class FreezeFailed extends Schema.TaggedError<FreezeFailed>()("FreezeFailed", {
  why: Schema.Literals(["no-answer", "refused", "guest-ended"]),
  detail: Schema.String
}) {
  override get message(): string {
    return `the workload was not frozen for the capture (${this.why}): ${this.detail}`
  }
}

/** The agent did not thaw the workload that the policy had frozen, so the warm-up could not reach it. */
export class ThawFailed extends Schema.TaggedError<ThawFailed>()("ThawFailed", { detail: Schema.String }) {
  override get message(): string {
    return `the workload was not thawed for the warm-up: ${this.detail}`
  }
}

/** The policy fired before the workload ran, but the guest has since passed that point. */
export class PreExecMissed extends Schema.TaggedError<PreExecMissed>()("PreExecMissed", {
  preExecAtNanos: GuestNanos,
  /** Guest time for which the agent held the workload; `null` if it waited for the host. */
  holdNanos: Schema.NullOr(GuestNanos),
  atNanos: GuestNanos
}) {
  override get message(): string {
    const hold = this.holdNanos === null ? "until the host releases it" : `for ${guestTimeInWords(this.holdNanos)}`
    return (
      `expected a guest whose workload has not begun (it was announced at ${guestTimeInWords(this.preExecAtNanos)} and held ` +
      `${hold}), found one at ${guestTimeInWords(this.atNanos)}, where the workload may run: let the agent hold it for longer, or until ` +
      "the host releases it"
    )
  }
}

/** A disk of the guest failed between the firing and the capture, so the snapshot would not match the disk. */
export class GuestDiskFailed extends Schema.TaggedError<GuestDiskFailed>()("GuestDiskFailed", {
  disk: Schema.String,
  /** The guest's request: `read`, `write`, `flush` or `zero`. */
  operation: guestEventFields.DiskFailed.operation,
  /** The reason. */
  why: guestEventFields.DiskFailed.reason,
  /** Error number of the host's operating system; `null` if there is none. */
  errno: Schema.NullOr(Schema.Natural),
  atNanos: GuestNanos,
  detail: Schema.String
}) {
  override get message(): string {
    const errno = this.errno === null ? "" : `, errno ${this.errno}`
    return (
      `expected the guest's disks to work until the capture, found that ${this.disk} failed to ${this.operation} at ` +
      `${guestTimeInWords(this.atNanos)} of guest time (${this.why}${errno}): ${this.detail}; nothing was published: ` +
      "check the file and the host's disk, then try again"
    )
  }
}

/** The new snapshot did not pass its validation. It stays where it was published, but cannot be opened as ready. */
export class ValidationFailed extends Schema.TaggedError<ValidationFailed>()("ValidationFailed", {
  directory: Schema.String,
  detail: Schema.String
}) {
  override get message(): string {
    return `${this.directory} failed its validation: ${this.detail}`
  }
}
