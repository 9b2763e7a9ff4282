/**
 * Why clones are not served, and why one connection was not.
 *
 * @module
 */
import { Schema } from "effect"
import { MachineFailureReason } from "../MachineErrors.ts"
import { PoolReason } from "../pool/PoolErrors.ts"

const address = { address: Schema.String }

/** Why serving did not begin. */
export const ServeReason = Schema.TaggedUnion({
  /** It cannot be what was asked for. */
  OptionsInvalid: { problems: Schema.NonEmptyArray(Schema.String) },
  /** Somebody else listens there. */
  PortInUse: address,
  /** Only a privileged program may listen there. */
  PortPrivileged: address,
  /** No interface of the host's has the address. */
  AddressUnknown: address,
  /** The host refused it for another reason. */
  HostRefused: { ...address, message: Schema.String },
  /** A clone cannot be reached: its snapshot's machine has no network, say. */
  MachineFailed: { cause: MachineFailureReason }
})
export type ServeReason = typeof ServeReason.Type

const textOf = (reason: ServeReason): string => {
  switch (reason._tag) {
    case "OptionsInvalid":
      return reason.problems.join("\n")
    case "PortInUse":
      return `${reason.address}: somebody listens there already; expected a free port, or 0 for any`
    case "PortPrivileged":
      return `${reason.address}: only a privileged program may listen there; expected a port of 1024 or more, or 0 for any`
    case "AddressUnknown":
      return `${reason.address}: no network interface of this host has that address; use one that it has, such as 127.0.0.1`
    case "HostRefused":
      return `${reason.address}: the host does not listen there: ${reason.message}`
    case "MachineFailed":
      return `a clone cannot be reached: ${reason.cause.message}`
  }
}

/** Clones are not served. Nothing listens then. */
export class ServeError extends Schema.TaggedError<ServeError>()("ServeError", { reason: ServeReason }) {
  override get message(): string {
    return textOf(this.reason)
  }
}

/** How a connection or a request came to its end. */
export const ServedHow = Schema.TaggedUnion({
  /** Both sides had said everything. */
  Ended: {},
  /** The client went away before that: it reset the connection, or left while it waited. */
  ClientReset: {},
  /** The guest reset the connection, or nobody listens there. */
  GuestReset: {},
  /** The guest of the clone ended, or its machine was closed. */
  GuestEnded: { message: Schema.String },
  /** Serving was stopped. */
  Stopped: {},
  /** Nothing went either way for too long. */
  Idle: { idleMillis: Schema.Number },
  /** There was no clone for it. */
  NoClone: { cause: PoolReason },
  /** Its clone could not be reached. */
  MachineFailed: { cause: MachineFailureReason }
})
export type ServedHow = typeof ServedHow.Type
