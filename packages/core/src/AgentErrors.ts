/**
 * Why a guest's agent did not do what it was asked.
 *
 * @module
 */
import { Schema } from "effect"
import { rejectReasons } from "./contract/contract.ts"
import { GuestEnd, guestEndInWords } from "./GuestEnd.ts"
import { GuestNanos } from "./GuestEvent.ts"
import { guestTimeInWords } from "./guestTimeInWords.ts"

/** Why the agent did not do it. */
export const AgentReason = Schema.TaggedUnion({
  /** The guest had no agent that was ready. */
  Absent: { waitedNanos: GuestNanos },
  /** The agent refused. */
  Refused: { request: Schema.String, why: Schema.Literals(rejectReasons), message: Schema.String },
  /** No answer in time, by the guest's clock. */
  NoAnswer: { waitingFor: Schema.String, withinNanos: GuestNanos },
  /** It answered another request. */
  WrongAnswer: { expectedToken: Schema.Natural, foundToken: Schema.Natural },
  /** The guest ended, or somebody paused it, before it answered. */
  GuestEnded: { ...GuestEnd, atNanos: GuestNanos }
})
export type AgentReason = typeof AgentReason.Type

const describe = (reason: AgentReason): string => {
  switch (reason._tag) {
    case "Absent":
      return `the guest has no agent that was ready within ${guestTimeInWords(reason.waitedNanos)} of its time; boot a root that has one`
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

/** The agent of a guest did not do what it was asked. */
export class AgentError extends Schema.TaggedError<AgentError>()("AgentError", { reason: AgentReason }) {
  override get message(): string {
    return describe(this.reason)
  }
}

/**
 * The workload of a guest could not be started, and the guest is as before. `stage` is what was being done: `root` (the image's disk
 * and its mounting), `scratch`, `volume`, `files` (of `/etc`), `user` (there is none of that name), `cwd`; `errno` is Linux's, or 0.
 */
export class WorkloadStartError extends Schema.TaggedError<WorkloadStartError>()("WorkloadStartError", {
  stage: Schema.String,
  errno: Schema.Int,
  detail: Schema.String
}) {
  override get message(): string {
    return `the workload could not be started (${this.stage}): ${this.detail}`
  }
}
