/**
 * Errors of requests to a guest's agent.
 *
 * @module
 */
import { Schema } from "effect"
import { rejectReasons } from "./contract/contract.ts"
import { GuestEnd, guestEndInWords } from "./GuestEnd.ts"
import { GuestNanos } from "./GuestEvent.ts"
import { guestTimeInWords } from "./guestTimeInWords.ts"

/** Why the agent did not carry out a request. */
export const AgentReason = Schema.TaggedUnion({
  /** No agent became ready in time. */
  Absent: { waitedNanos: GuestNanos },
  /** The agent refused the request. */
  Refused: { request: Schema.String, why: Schema.Literals(rejectReasons), message: Schema.String },
  /** No answer came in time, on the guest's clock. */
  NoAnswer: { waitingFor: Schema.String, withinNanos: GuestNanos },
  /** The agent answered another request. */
  WrongAnswer: { expectedToken: Schema.Natural, foundToken: Schema.Natural },
  /** The guest ended or was paused before the agent answered. */
  GuestEnded: { ...GuestEnd, atNanos: GuestNanos }
})
export type AgentReason = typeof AgentReason.Type

const describe = (reason: AgentReason): string => {
  switch (reason._tag) {
    case "Absent":
      return `no agent in the guest was ready within ${guestTimeInWords(reason.waitedNanos)} of guest time; boot a root that contains the agent`
    case "Refused":
      return `the agent refused ${reason.request} (${reason.why}): ${reason.message}`
    case "NoAnswer":
      return `no ${reason.waitingFor} within ${guestTimeInWords(reason.withinNanos)} of guest time`
    case "WrongAnswer":
      return `the agent answered token ${reason.foundToken} instead of ${reason.expectedToken}`
    case "GuestEnded":
      return `the guest ended (${guestEndInWords(reason)}) at ${guestTimeInWords(reason.atNanos)} of guest time before it answered`
  }
}

/** A guest's agent did not carry out a request. */
export class AgentError extends Schema.TaggedError<AgentError>()("AgentError", { reason: AgentReason }) {
  override get message(): string {
    return describe(this.reason)
  }
}

/**
 * The workload of a guest could not be started; the guest is unchanged. `step` says at what: `root` (mounting the
 * image's disk), `scratch`, `volume`, `files` (in `/etc`), `user` (there is no such user) or `cwd`. `errno` is Linux's, or 0.
 */
export class WorkloadStartError extends Schema.TaggedError<WorkloadStartError>()("WorkloadStartError", {
  step: Schema.String,
  errno: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `the workload could not be started (${this.step}): ${this.detail}`
  }
}
