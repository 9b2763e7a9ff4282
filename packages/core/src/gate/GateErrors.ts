/**
 * Why a restored machine was not handed over. In all cases the machine is destroyed.
 *
 * @module
 */
import { Schema } from "effect"
import { rejectReasons } from "../contract/contract.ts"
import { GuestEnd, guestEndInWords } from "../GuestEnd.ts"
import { GuestNanos } from "../GuestEvent.ts"
import { MachineReason } from "../MachineErrors.ts"
import { SnapshotOpenReason } from "../snapshot/SnapshotErrors.ts"

/** Why a gate refused a machine. */
export const GateReason = Schema.TaggedUnion({
  /** The snapshot itself was refused. */
  SnapshotRefused: { path: Schema.String, cause: SnapshotOpenReason },
  /** The snapshot could not be restored. */
  NotRestored: { path: Schema.String, cause: MachineReason },
  /** The guest had no agent when it was captured, so it cannot acknowledge an identity. */
  AgentAbsent: {},
  /** The options of the gate, or the given identity, are invalid. */
  OptionsInvalid: { problems: Schema.NonEmptyArray(Schema.String) },
  /** The guest did not acknowledge in time, on the clock that `clock` names. */
  AcknowledgementMissing: {
    waitingFor: Schema.String,
    clock: Schema.Literals(["guest", "host"]),
    timeoutMillis: Schema.Number
  },
  /** The guest acknowledged another identity. */
  AcknowledgementWrong: { expectedToken: Schema.Natural, foundToken: Schema.Natural },
  /** The agent refused the identity. */
  IdentityRejected: { why: Schema.Literals(rejectReasons), message: Schema.String },
  /** The guest ended before it acknowledged. */
  GuestEnded: { ...GuestEnd, atNanos: GuestNanos },
  /** The machine failed. */
  MachineFailed: { cause: MachineReason }
})
export type GateReason = typeof GateReason.Type

const describe = (reason: GateReason): string => {
  switch (reason._tag) {
    case "SnapshotRefused":
      return reason.cause.message
    case "NotRestored":
      return `${reason.path} could not be restored: ${reason.cause.message}`
    case "AgentAbsent":
      return "the guest was captured before its agent was ready, so it cannot acknowledge a new identity: capture it later"
    case "OptionsInvalid":
      return `invalid gate options:${reason.problems.map((problem) => `\n  ${problem}`).join("")}`
    case "AcknowledgementMissing":
      return `no ${reason.waitingFor} within ${reason.timeoutMillis} ms of ${reason.clock} time; the clone was destroyed`
    case "AcknowledgementWrong":
      return `the guest acknowledged token ${reason.foundToken} instead of ${reason.expectedToken}; the clone was destroyed`
    case "IdentityRejected":
      return `the agent refused the new identity: ${reason.message}; the clone was destroyed`
    case "GuestEnded":
      return `the guest ended (${guestEndInWords(reason)}) at ${reason.atNanos} ns before it acknowledged; the clone was destroyed`
    case "MachineFailed":
      return `${reason.cause.message}; the clone was destroyed`
  }
}

/** A machine did not pass its gate; it was destroyed. */
export class GateError extends Schema.TaggedError<GateError>()("GateError", { reason: GateReason }) {
  override get message(): string {
    return describe(this.reason)
  }
}
