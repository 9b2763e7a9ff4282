/**
 * The guest's condition, for parts that need to know whether it is calm, or what is already true when they are armed.
 *
 * @module
 */
import { type GuestActivity, type GuestEvent, type GuestEventOf, openListenersAfter } from "@stillpoint/core"
import type { Memories } from "./Memory.ts"

type ListenerBound = GuestEventOf<"ListenerBound">

/**
 * The guest's condition, from its events so far: whether the hart is idle and the workload frozen, which devices have a request
 * in flight, which listeners and how many connections are open.
 */
export class GuestCondition {
  private readonly memory: {
    isIdle: boolean
    isFrozen: boolean
    devicesInFlight: ReadonlySet<string>
    listeners: ReadonlyArray<ListenerBound>
    connectionsOpen: number
  }

  constructor(memories: Memories) {
    this.memory = memories.make({
      isIdle: false,
      isFrozen: false,
      devicesInFlight: new Set<string>(),
      listeners: [],
      connectionsOpen: 0
    })
  }

  /** Begins with a guest that others have watched before. */
  begin({ connectionsOpen, devicesInFlight, isFrozen, isIdle, openListeners }: GuestActivity): void {
    const listeners = openListeners
    Object.assign(this.memory, {
      isIdle,
      isFrozen,
      devicesInFlight: new Set(devicesInFlight),
      listeners,
      connectionsOpen
    })
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
      case "AgentFrozen":
        memory.isFrozen = true
        break
      case "AgentThawed":
        memory.isFrozen = false
        break
      case "IoStarted":
        memory.devicesInFlight = new Set([...memory.devicesInFlight, event.device])
        break
      case "IoSettled":
        memory.devicesInFlight = new Set([...memory.devicesInFlight].filter((device) => device !== event.device))
        break
      case "ListenerBound":
      case "ListenerClosed":
        memory.listeners = openListenersAfter(memory.listeners, event)
        break
      case "ConnectionOpened":
      case "ConnectionClosed":
        memory.connectionsOpen = event.open
        break
      default:
    }
  }

  /** Whether the hart waits for an interrupt. */
  get isIdle(): boolean {
    return this.memory.isIdle
  }

  /** Whether the agent has frozen the workload, on any policy's behalf. */
  get isFrozen(): boolean {
    return this.memory.isFrozen
  }

  /** Listeners that are open, as they were announced, oldest first. */
  get listeners(): ReadonlyArray<ListenerBound> {
    return this.memory.listeners
  }

  /** Number of open TCP connections, from the last event of one. */
  get connectionsOpen(): number {
    return this.memory.connectionsOpen
  }

  /** Devices that have a request in flight. */
  get devicesInFlight(): ReadonlySet<string> {
    return this.memory.devicesInFlight
  }
}
