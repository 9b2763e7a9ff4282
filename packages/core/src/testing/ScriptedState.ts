/**
 * The behaviour of a scripted guest, and its state at one moment.
 *
 * @module
 */
import type { GuestActivity } from "../GuestActivity.ts"
import type { GuestPorts } from "../GuestPorts.ts"
import type { IdentitySpec } from "../Vmm.ts"
import type { EventBody, ScriptedCommand, ScriptedGuest, ScriptLine } from "./guestScript.ts"

/** The agent's answer to a new identity. */
export type IdentityManners =
  | "acknowledge"
  | "silent"
  | "wrongToken"
  | "reject"
  | "panic"
  /** Acknowledges after this many guest nanoseconds. */
  | { readonly afterNanos: number }

/** The behaviour of the guests of a scripted `Vmm`. */
export interface ScriptedVmmOptions {
  readonly script?: ReadonlyArray<ScriptLine>
  readonly commands?: (argv: ReadonlyArray<string>, guest: ScriptedGuest) => ScriptedCommand
  readonly identity?: IdentityManners
  /** Guest time from a request to freeze to `AgentFrozen`; `null`: the agent never answers. */
  readonly freezeNanos?: number | null
  /** Host milliseconds that every run takes. */
  readonly hostMillisPerRun?: number
  readonly isDeterministic?: boolean
  /** The ports of its machines; none if absent. */
  readonly ports?: GuestPorts
}

/** A pending answer of the agent, and the state after it. */
export interface PendingAnswer {
  readonly atNanos: number
  readonly event: EventBody
  readonly effect: "none" | "freeze" | "thaw"
  readonly identity: IdentitySpec | null
  /** Waits for the workload: does not come while that is frozen. */
  readonly isWorkload: boolean
}

/** A command whose input has not ended. */
export interface PendingCommand {
  readonly id: number
  readonly argv: ReadonlyArray<string>
  readonly stdin: ReadonlyArray<number>
}

/** The whole state of a scripted machine: the content of a capture, and the start of a fork. */
export interface ScriptedState {
  nowNanos: number
  nextSeq: number
  activity: GuestActivity
  /** Guest time by which the workload's lines are late, having been frozen. */
  workloadDelay: number
  frozenSince: number | null
  script: ReadonlyArray<ScriptLine>
  answers: ReadonlyArray<PendingAnswer>
  commands: ReadonlyArray<PendingCommand>
  entropy: string
  hostname: string
  machineId: string
  env: Readonly<Record<string, string>>
  realtimeAtZero: bigint
  nextToken: number
  memoryMib: number
  /** Names of its disks. */
  disks: ReadonlyArray<string>
  /** Empty slots for more. */
  diskSlots: number
  /** Slots that a disk was put into. */
  slotsFilled: number
  /** Identities that a delta can be taken against. */
  known: ReadonlyArray<string>
}
