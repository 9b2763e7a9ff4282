/**
 * The condition that the guest is in, for parts that ask whether it is calm, or what is already true when they are armed.
 *
 * @module
 */
import type { GuestEvent, GuestNanos } from "@stillpoint/core"
import type { Memories } from "./Memory.ts"
import type { Moment } from "./Timers.ts"

/** Whether the hart is idle, which devices have a request in flight: as the events so far say. */
export class GuestCondition {
  private readonly moment: Moment
  private readonly memory: {
    isIdle: boolean
    idleSinceNanos: GuestNanos
    devicesInFlight: ReadonlySet<string>
  }

  constructor(moment: Moment, memories: Memories) {
    this.moment = moment
    this.memory = memories.make({ isIdle: false, idleSinceNanos: 0, devicesInFlight: new Set<string>() })
  }

  /** Takes in an event. */
  take(event: GuestEvent): void {
    const { memory } = this
    switch (event._tag) {
      case "GuestIdle":
        // One that comes twice must not move the beginning of the rest.
        if (!memory.isIdle) memory.idleSinceNanos = Math.max(event.atNanos, this.moment.nowNanos)
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

  /** Since when, while it does. */
  get idleSinceNanos(): GuestNanos {
    return this.memory.idleSinceNanos
  }

  /** Devices that have a request in flight. */
  get devicesInFlight(): ReadonlySet<string> {
    return this.memory.devicesInFlight
  }
}
