/**
 * The guest's calm while a quiesce waits: its beginning, and the activity that disturbed it.
 *
 * @module
 */
import type { GuestEvent, GuestEventKind, GuestNanos } from "@stillpoint/core"
import type { Automaton } from "../../automaton/Automaton.ts"
import type { AutomatonPart } from "../../automaton/AutomatonPart.ts"
import type { Timer } from "../../automaton/Timers.ts"
import type { Activity } from "../activity.ts"

/** The required calm, and the part that waits for it. */
export interface CalmHost extends AutomatonPart {
  /** Whether complete calm may be reported. */
  readonly isReady: boolean
  /** Guest time up to which it watched. */
  readonly watchedUntilNanos: GuestNanos
  /** The calm is full, and the hart at rest. */
  onCalm(): void
}

interface Memory {
  /** Whether activity disturbs the calm now; if not, since when the guest has been calm. */
  isActive: boolean
  sinceNanos: GuestNanos
  /** Whether the hart executes, and whether for long enough to count, or since before the firing. */
  isWorking: boolean
  workCounts: boolean
  /** Whether the calm was complete during work that may yet be overlooked. */
  isFull: boolean
  isIoInFlight: boolean
  isConnected: boolean
  /** Whether a freeze is activity, because the calm must be that of a running workload. */
  hearsFreeze: boolean
  /** Whether the workload is frozen. */
  isFrozen: boolean
  lastSampleAtNanos: GuestNanos | null
  restartCount: number
  lastActivity: string | null
  lastActivityAtNanos: GuestNanos
}

/** The calm that one quiesce waits for. */
export class Calm {
  private readonly automaton: Automaton
  private readonly host: CalmHost
  private readonly forNanos: number
  private readonly settleTimer: Timer
  private readonly workTimer: Timer
  /** Work that is overlooked if it is no longer than this; `null` if work is not watched. */
  private readonly overlookedNanos: number | null
  private readonly watchesIo: boolean
  private readonly watchesConnections: boolean
  private readonly dirtyLimit: number | null
  private readonly trafficLimit: number | null
  private readonly disturbing: ReadonlySet<GuestEventKind>
  private readonly customs: ReadonlySet<string>
  private readonly memory: Memory

  constructor(automaton: Automaton, host: CalmHost, forNanos: number, activity: ReadonlyArray<Activity>) {
    this.automaton = automaton
    this.host = host
    this.forNanos = forNanos
    this.settleTimer = automaton.timers.make(host)
    this.workTimer = automaton.timers.make(host)
    this.overlookedNanos = leastOf(activity.map((one) => (one.activity === "busy" ? one.longerThanNanos : null)))
    this.watchesIo = activity.some((one) => one.activity === "io")
    this.watchesConnections = activity.some((one) => one.activity === "connections")
    this.trafficLimit = leastOf(activity.map((one) => (one.activity === "traffic" ? one.bytesPerSecond : null)))
    this.dirtyLimit = leastOf(activity.map((one) => (one.activity === "dirty" ? one.pagesPerSecond : null)))
    this.disturbing = new Set(activity.flatMap((one) => (one.activity === "event" ? [one.kind] : [])))
    this.customs = new Set(activity.flatMap((one) => (one.activity === "custom" ? [one.name] : [])))
    this.memory = automaton.memories.make<Memory>({
      isActive: false,
      sinceNanos: 0,
      isWorking: false,
      workCounts: false,
      isFull: false,
      isIoInFlight: false,
      isConnected: false,
      hearsFreeze: false,
      isFrozen: false,
      lastSampleAtNanos: null,
      restartCount: 0,
      lastActivity: null,
      lastActivityAtNanos: 0
    })
  }

  /** Kinds of events that say whether the guest is calm. */
  get kinds(): ReadonlyArray<GuestEventKind> {
    return [
      ...(this.overlookedNanos === null ? [] : (["GuestIdle", "GuestBusy"] as const)),
      ...(this.watchesIo ? (["IoStarted", "IoSettled"] as const) : []),
      ...(this.watchesConnections ? (["ConnectionOpened", "ConnectionClosed"] as const) : []),
      ...(this.dirtyLimit === null ? [] : (["PagesDirtied"] as const)),
      ...(this.trafficLimit === null ? [] : (["TrafficPassed"] as const)),
      ...(this.customs.size > 0 ? (["Custom"] as const) : []),
      ...this.disturbing
    ]
  }

  // --- reading

  /** For how long it has been calm. */
  get nanos(): GuestNanos {
    return this.memory.isActive ? 0 : this.host.watchedUntilNanos - this.memory.sinceNanos
  }

  /** Number of times that activity restarted the count. */
  get restarts(): number {
    return this.memory.restartCount
  }

  /** The activity that last did so, and when it ended. */
  get lastActivity(): { readonly kind: string; readonly atNanos: GuestNanos } | null {
    const { lastActivity, lastActivityAtNanos } = this.memory
    return lastActivity === null ? null : { kind: lastActivity, atNanos: lastActivityAtNanos }
  }

  // --- life

  /**
   * Counts from now on. Work in progress, requests in flight and open connections are activity until they end. For a wait that
   * does not request a freeze, a freeze is activity too, because a workload that cannot run is not known to be calm.
   */
  begin(hearsFreeze: boolean): void {
    const { guest, nowNanos } = this.automaton
    const isWorking = this.overlookedNanos !== null && !guest.isIdle
    const isIoInFlight = this.watchesIo && guest.devicesInFlight.size > 0
    const isConnected = this.watchesConnections && guest.connectionsOpen > 0
    const isFrozen = hearsFreeze && guest.isFrozen
    Object.assign(this.memory, {
      isActive: isWorking || isIoInFlight || isConnected || isFrozen,
      sinceNanos: nowNanos,
      isWorking,
      workCounts: isWorking,
      isFull: false,
      isIoInFlight,
      isConnected,
      hearsFreeze,
      isFrozen,
      lastSampleAtNanos: null,
      restartCount: 0,
      lastActivity: null,
      lastActivityAtNanos: 0
    } satisfies Memory)
  }

  /** Calm so far does not count, nor does work in progress that may be overlooked. */
  restart(): void {
    this.memory.sinceNanos = this.automaton.nowNanos
    this.interrupt()
  }

  /** Reports nothing until the wait begins again. */
  interrupt(): void {
    this.memory.isFull = false
    this.settleTimer.clear()
  }

  end(): void {
    this.settleTimer.clear()
    this.workTimer.clear()
  }

  /** Tells when the calm is full, at once if it is. */
  wait(): void {
    const { automaton, forNanos, host, memory, settleTimer } = this
    if (memory.isActive || !host.isReady) return
    if (memory.sinceNanos + forNanos > automaton.nowNanos) {
      settleTimer.setFor(memory.sinceNanos + forNanos)
      return
    }
    settleTimer.clear()
    this.full()
  }

  onTimer(timer: Timer): void {
    if (timer === this.settleTimer) this.full()
    else {
      this.memory.workCounts = true
      this.activityBegins("busy")
    }
  }

  private full(): void {
    // A capture is never taken during work.
    if (this.memory.isWorking) this.memory.isFull = true
    else this.host.onCalm()
  }

  // --- activity

  onEvent(event: GuestEvent): void {
    switch (event._tag) {
      case "GuestBusy":
        this.workBegins()
        break
      case "GuestIdle":
        this.workEnds()
        break
      case "IoStarted":
      case "IoSettled":
        if (this.watchesIo) this.ioChanges(event._tag === "IoSettled")
        break
      case "ConnectionOpened":
      case "ConnectionClosed":
        if (this.watchesConnections) this.connectionsChange(event._tag === "ConnectionClosed")
        break
      case "AgentFrozen":
      case "AgentThawed":
        if (this.memory.hearsFreeze) this.freezeChanges(event._tag)
        break
      case "PagesDirtied":
        this.sample(event.count)
        break
      case "TrafficPassed":
        this.traffic(event.bytesIn + event.bytesOut, event.overNanos)
        break
      default:
    }
    if (this.disturbing.has(event._tag)) this.activityHappens(event._tag)
    if (event._tag === "Custom" && this.customs.has(event.name)) this.activityHappens(`Custom ${event.name}`)
  }

  private workBegins(): void {
    const { memory, overlookedNanos } = this
    if (overlookedNanos === null || memory.isWorking) return
    memory.isWorking = true
    if (overlookedNanos > 0) this.workTimer.setIn(overlookedNanos)
    else {
      memory.workCounts = true
      this.activityBegins("busy")
    }
  }

  private workEnds(): void {
    const { memory } = this
    if (!memory.isWorking) return
    this.workTimer.clear()
    const counted = memory.workCounts
    memory.isWorking = false
    memory.workCounts = false
    if (counted) this.activityEnds("busy")
    else if (memory.isFull) this.host.onCalm()
  }

  private ioChanges(isSettled: boolean): void {
    const { memory } = this
    const before = memory.isIoInFlight
    memory.isIoInFlight = this.automaton.guest.devicesInFlight.size > 0
    if (memory.isIoInFlight) {
      if (!before) this.activityBegins("io")
    } else if (before) this.activityEnds("io")
    // Its start was not seen: it was in flight until now.
    else if (isSettled) this.activityHappens("io")
  }

  private connectionsChange(isClosed: boolean): void {
    const { memory } = this
    const before = memory.isConnected
    memory.isConnected = this.automaton.guest.connectionsOpen > 0
    if (memory.isConnected) {
      if (!before) this.activityBegins("connections")
    } else if (before) this.activityEnds("connections")
    // Its opening was not seen: it was open until now.
    else if (isClosed) this.activityHappens("connections")
  }

  private freezeChanges(kind: "AgentFrozen" | "AgentThawed"): void {
    const { memory } = this
    const before = memory.isFrozen
    memory.isFrozen = kind === "AgentFrozen"
    if (memory.isFrozen) {
      if (!before) this.activityBegins(kind)
    } else if (before) this.activityEnds(kind)
  }

  private traffic(bytes: number, overNanos: number): void {
    const { trafficLimit } = this
    if (trafficLimit !== null && bytes * 1e9 > trafficLimit * overNanos) this.activityHappens("traffic")
  }

  private sample(count: number): void {
    const { dirtyLimit, memory } = this
    if (dirtyLimit === null) return
    const before = memory.lastSampleAtNanos
    const { nowNanos } = this.automaton
    memory.lastSampleAtNanos = nowNanos
    // The first sample includes pages dirtied before the firing.
    if (before !== null && count * 1e9 > dirtyLimit * (nowNanos - before)) this.activityHappens("dirty")
  }

  private activityBegins(kind: string): void {
    this.note(kind)
    this.memory.isActive = true
    this.interrupt()
  }

  /** The count starts again where the last of what overlaps ends. */
  private activityEnds(kind: string): void {
    const { memory } = this
    if (memory.workCounts || memory.isIoInFlight || memory.isConnected || memory.isFrozen) return
    const { nowNanos } = this.automaton
    if (memory.lastActivity !== null) Object.assign(memory, { lastActivity: kind, lastActivityAtNanos: nowNanos })
    memory.isActive = false
    memory.sinceNanos = nowNanos
    this.wait()
  }

  private activityHappens(kind: string): void {
    const { memory } = this
    this.note(kind)
    if (memory.isActive) return
    this.restart()
    this.wait()
  }

  private note(kind: string): void {
    const { memory } = this
    // Activity during activity does not break a calm.
    if (memory.isActive) return
    memory.restartCount += 1
    memory.lastActivity = kind
    memory.lastActivityAtNanos = this.automaton.nowNanos
  }
}

const leastOf = (values: ReadonlyArray<number | null>): number | null =>
  values.reduce((least, one) => (one === null ? least : least === null ? one : Math.min(least, one)), null)
