/**
 * The condition that the guest is in, for parts that ask whether it is calm, or what is already true when they are armed.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"
import type { Memories } from "./Memory.ts"

/** Whether the hart is idle, which devices have a request in flight: as the events so far say. */
export class GuestCondition {
  private readonly memory: {
    isIdle: boolean
    devicesInFlight: ReadonlySet<string>
  }

  constructor(memories: Memories) {
    this.memory = memories.make({ isIdle: false, devicesInFlight: new Set<string>() })
  }

  /** Takes in an event. */
  take(event: GuestEvent): void {
    const { memory } = this
    switch (event._tag) {
      case "GuestIdle":
        memory.isIdle = true
        break
      case "GuestBusy":
        memory.isIdle = false
        break
      case "IoStarted":
        memory.devicesInFlight = new Set([...memory.devicesInFlight, event.device])
        break
      case "IoSettled":
        memory.devicesInFlight = new Set([...memory.devicesInFlight].filter((device) => device !== event.device))
        break
      default:
    }
  }

  /** Whether the hart waits for an interrupt. */
  get isIdle(): boolean {
    return this.memory.isIdle
  }

  /** Devices that have a request in flight. */
  get devicesInFlight(): ReadonlySet<string> {
    return this.memory.devicesInFlight
  }
}
