/**
 * Errors of serving clones, and of single connections.
 *
 * @module
 */
import { Schema } from "effect"
import { MachineFailureReason } from "../MachineErrors.ts"
import { PoolReason } from "../pool/PoolErrors.ts"

const address = { address: Schema.String }

/** Why serving did not begin. */
export const ServeReason = Schema.TaggedUnion({
  /** The options are invalid; every problem is listed. */
  OptionsInvalid: { problems: Schema.NonEmptyArray(Schema.String) },
  /** Another program listens there. */
  PortInUse: address,
  /** Only a privileged program may listen there. */
  PortPrivileged: address,
  /** No interface of the host has the address. */
  AddressUnknown: address,
  /** The host refused it for another reason. */
  HostRefused: { ...address, message: Schema.String },
  /** A clone cannot be reached, for example because its machine has no network. */
  MachineFailed: { cause: MachineFailureReason }
})
export type ServeReason = typeof ServeReason.Type

const textOf = (reason: ServeReason): string => {
  switch (reason._tag) {
    case "OptionsInvalid":
      return reason.problems.join("\n")
    case "PortInUse":
      return `${reason.address}: the port is in use; choose another, or 0 for any that is free`
    case "PortPrivileged":
      return `${reason.address}: only a privileged program may listen there; choose a port of 1024 or more, or 0 for any`
    case "AddressUnknown":
      return `${reason.address}: no network interface of this host has that address; use one of its own, such as 127.0.0.1`
    case "HostRefused":
      return `${reason.address}: the host refused to listen there: ${reason.message}`
    case "MachineFailed":
      return `a clone cannot be reached: ${reason.cause.message}`
  }
}

/** Serving did not begin; no port is open. */
export class ServeError extends Schema.TaggedError<ServeError>()("ServeError", { reason: ServeReason }) {
  override get message(): string {
    return textOf(this.reason)
  }
}

/** The end of a connection or a request. */
export const ServedHow = Schema.TaggedUnion({
  /** Both sides finished. */
  Ended: {},
  /** The client left early: it reset the connection, or closed it while it waited. */
  ClientReset: {},
  /** The guest reset the connection, or has no listener on that port. */
  GuestReset: {},
  /** The guest's answer is not HTTP/1.1. */
  AnswerInvalid: { problem: Schema.String },
  /** The guest of the clone ended, or its machine was closed. */
  GuestEnded: { message: Schema.String },
  /** Serving was stopped. */
  Stopped: {},
  /** No data went in either direction for too long. */
  Idle: { idleMillis: Schema.Number },
  /** There was no clone for it. */
  NoClone: { cause: PoolReason },
  /** Its clone could not be reached. */
  MachineFailed: { cause: MachineFailureReason }
})
export type ServedHow = typeof ServedHow.Type
