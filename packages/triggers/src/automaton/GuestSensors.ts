/**
 * What an automaton itself keeps about the guest, for parts that ask whether it is calm.
 *
 * @module
 */
import type { GuestEventKind, GuestNanos } from "@stillpoint/core"
import { guestCells, headerCells } from "./cells.ts"
import { kindNumber, type KindSet, kindSet } from "./eventKinds.ts"

const idle = kindNumber("GuestIdle")
const busy = kindNumber("GuestBusy")
const ioStarted = kindNumber("IoStarted")
const ioSettled = kindNumber("IoSettled")
const quiesced = kindNumber("AgentQuiesced")
const thawed = kindNumber("AgentThawed")

/** Kinds that tell whether the guest is idle, has I/O in flight, is frozen. */
const sensed = kindSet(["GuestIdle", "GuestBusy", "IoStarted", "IoSettled", "AgentQuiesced", "AgentThawed"])

/** Whether the hart is idle, how much I/O is in flight, whether the workload is frozen: from the policy's first event on. */
export class GuestSensors {
  /** Kinds that some part wants it to follow. */
  readonly kinds: KindSet = kindSet([])
  private cells: Float64Array = new Float64Array(0)

  /** Makes it follow those of some kinds that it knows about. */
  follow(kinds: ReadonlyArray<GuestEventKind>): void {
    const wanted = kindSet(kinds)
    for (const [kind, isSensed] of sensed.entries()) if (isSensed === 1 && wanted[kind] === 1) this.kinds[kind] = 1
  }

  place(cells: Float64Array): void {
    this.cells = cells
  }

  reset(): void {
    this.cells[guestCells.idleSince] = -1
  }

  /** Takes in an event of a kind that it follows, which happens now. */
  take(kind: number): void {
    const { cells } = this
    // A dropped or repeated event must not leave a count below zero or move the beginning of a rest.
    if (kind === idle) {
      if (cells[guestCells.idleSince] === -1) cells[guestCells.idleSince] = cells[headerCells.now] as number
    } else if (kind === busy) cells[guestCells.idleSince] = -1
    else if (kind === ioStarted) cells[guestCells.inFlight] = (cells[guestCells.inFlight] as number) + 1
    else if (kind === ioSettled) cells[guestCells.inFlight] = Math.max(0, (cells[guestCells.inFlight] as number) - 1)
    else if (kind === quiesced) cells[guestCells.frozen] = 1
    else if (kind === thawed) cells[guestCells.frozen] = 0
  }

  /** When the hart became idle, or -1 while it is busy. */
  get idleSince(): GuestNanos {
    return this.cells[guestCells.idleSince] as number
  }

  /** Number of device requests in flight. */
  get inFlight(): number {
    return this.cells[guestCells.inFlight] as number
  }

  /** Whether the agent has frozen the workload. */
  get isFrozen(): boolean {
    return this.cells[guestCells.frozen] === 1
  }
}
