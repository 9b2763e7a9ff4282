/**
 * Kinds of guest events as small numbers, so that a set of kinds is one machine word.
 *
 * @module
 */
import { GuestEvent, type GuestEventKind } from "@stillpoint/core"

/** Every kind, in the order in which its number counts. */
export const eventKinds: ReadonlyArray<GuestEventKind> = Object.keys(GuestEvent.cases) as Array<GuestEventKind>

/** The number of every kind that this build does not know. No trigger is interested in it. */
export const unknownKind: number = eventKinds.length

/**
 * The number of a kind: its place among {@link eventKinds}, written out because this is done for every event, the frequent ones
 * first. {@link unknownKind} for one that this build does not know.
 */
export const kindNumber = (kind: string): number => {
  switch (kind as GuestEventKind) {
    case "SerialLine":
      return 0
    case "GuestIdle":
      return 7
    case "GuestBusy":
      return 8
    case "PagesDirtied":
      return 11
    case "HeartbeatTick":
      return 1
    case "IoStarted":
      return 9
    case "IoSettled":
      return 10
    case "Custom":
      return 26
    case "WorkloadPreExec":
      return 2
    case "ListenerBound":
      return 3
    case "WorkloadParked":
      return 4
    case "WorkloadExited":
      return 5
    case "WorkloadFailed":
      return 6
    case "AgentReady":
      return 12
    case "AgentQuiesced":
      return 13
    case "AgentThawed":
      return 14
    case "IdentityApplied":
      return 15
    case "AgentRejected":
      return 16
    case "ExecStarted":
      return 17
    case "ExecOutput":
      return 18
    case "ExecExited":
      return 19
    case "ExecFailed":
      return 20
    case "HostInput":
      return 21
    case "GuestPanicked":
      return 22
    case "GuestHalted":
      return 23
    case "GuestReset":
      return 24
    case "EngineFault":
      return 25
    default:
      return unknownKind
  }
}

/** The set of some kinds. */
export const kindSet = (kinds: ReadonlyArray<GuestEventKind>): number =>
  kinds.reduce((set, kind) => set | (1 << kindNumber(kind)), 0)

/** The kinds of a set, in order. */
export const kindsOf = (set: number): ReadonlyArray<GuestEventKind> =>
  eventKinds.filter((_, number) => ((set >>> number) & 1) === 1)
