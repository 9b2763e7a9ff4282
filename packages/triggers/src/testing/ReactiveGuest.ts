/**
 * A model of a guest that reacts: what its workload does later is later by as long as it was frozen.
 *
 * ```text
 * guest time     ├────────────┼──────────────────┼──────────────▶
 * host                        freeze             thaw
 * agent                        └▶ AgentQuiesced   └▶ AgentThawed
 * workload       a ─── b ───── c ┆ stands still  ┆ d ─── e        each so long after the one before, on its own clock
 * heartbeats     ♥      ♥      ♥      ♥      ♥      ♥      ♥        go on
 * ```
 *
 * A played timeline has no such thing: whatever a policy asks of it, the same happens at the same time.
 *
 * @module
 */
import type { GuestEvent, GuestEventOf, GuestNanos, Machine } from "@stillpoint/core"
import type { Effect } from "effect"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import type { EventBody } from "./guestEvents.ts"

/** What the workload does next. */
export interface WorkloadStep {
  /** Nanoseconds of its own clock for which it waits first; the hart rests meanwhile. */
  readonly restNanos: number
  /** Nanoseconds for which it then works; the hart is busy. */
  readonly workNanos: number
  /** What that brings. */
  readonly event: EventBody
}

/** How an agent answers. */
export interface AgentManners {
  /** What it does when asked to freeze the workload. */
  readonly onFreeze: "freezes" | "refuses" | "is-silent"
  /** From its beginning with a request to the answer. The workload runs until it is frozen. */
  readonly freezeNanos: number
  readonly thawNanos: number
}

/** A guest, before its first instruction. */
export interface ReactiveGuest {
  /** What happens whatever becomes of the workload, by guest time, in order. */
  readonly system: ReadonlyArray<readonly [atNanos: GuestNanos, event: EventBody]>
  /** Guest times of heartbeats. */
  readonly heartbeats: ReadonlyArray<GuestNanos>
  /** When the agent announces the workload. */
  readonly announcedAtNanos: GuestNanos
  /** For how long it then holds it; `null`: until the host says go. */
  readonly holdNanos: number | null
  readonly workload: ReadonlyArray<WorkloadStep>
  readonly agent: AgentManners
  /** When it halts; `null`: it rests for ever once it has nothing to do. */
  readonly haltsAtNanos: GuestNanos | null
}

type Until = Parameters<Machine["run"]>[0]
type Stop = Effect.Success<ReturnType<Machine["run"]>>

/** What tells one listener from another. */
export type ListenerName = Pick<GuestEventOf<"ListenerBound">, "protocol" | "address" | "port">

/** What the host asked of the agent, and when it will be answered. */
interface Request {
  readonly what: "freeze" | "thaw"
  readonly token: number
  readonly doneAtNanos: number
}

/** A mark on the workload's own clock. */
type Mark = { readonly atNanos: number; readonly event: EventBody | "busy" | "idle" }

const heartbeatWorkNanos = 120_000
const rejectedFreeze = (id: number): EventBody => ({
  _tag: "AgentRejected",
  request: "Quiesce",
  id,
  reason: "FreezeFailed",
  message: "the workload does not freeze"
})
const notFrozen = -1

/** A guest that lives: it is run, asked, and tells the truth about itself. */
export class LivingGuest {
  readonly guest: ReactiveGuest
  readonly events: Array<GuestEvent> = []
  nowNanos = 0
  /** Whether it has halted. */
  hasHalted = false
  private readonly marks: ReadonlyArray<Mark>
  private systemIndex = 0
  private beatIndex = 0
  private isBeating = false
  private isAnnounced = false
  private isHeld = true
  private mark = 0
  /** The workload's own clock: how long it has been allowed to run. */
  private ownNanos = 0
  private ownSinceNanos = 0
  private frozenAtNanos = notFrozen
  private isWorkloadBusy = false
  private isHartBusy = true
  private requests: Array<Request> = []
  private tokens = 0
  private seq = 0
  /** What has happened at this moment, and no run has come to yet. */
  private undelivered: Array<EventBody> = []
  /** Whoever listens to what happens. */
  onEvent: (event: GuestEvent) => void = () => {}

  constructor(guest: ReactiveGuest) {
    this.guest = guest
    this.marks = marksOf(guest.workload)
    this.emit({ _tag: "GuestBusy" })
  }

  // --- the truth

  /** Since when the workload has been frozen; `null` if it is not. */
  get frozenSinceNanos(): GuestNanos | null {
    return this.frozenAtNanos === notFrozen ? null : this.frozenAtNanos
  }

  /** Whether the workload has executed anything. */
  get hasStarted(): boolean {
    return !this.isHeld
  }

  /** What the workload listens on. */
  readonly listeners = new Set<string>()

  /** Whether the workload still has a listener. */
  isListening({ address, port, protocol }: ListenerName): boolean {
    return this.listeners.has(`${protocol} ${address} ${port}`)
  }

  /** For how long the workload has been allowed to run. */
  get workloadNanos(): number {
    return this.isRunning ? this.ownNanos + this.nowNanos - this.ownSinceNanos : this.ownNanos
  }

  /** Whether the agent has a request that it has not answered. */
  get isAsked(): boolean {
    return this.requests.length > 0
  }

  /** What has happened, as a timeline that can be replayed. */
  get timeline(): ReplayedTimeline {
    const isOver = this.undelivered.length === 0 && this.next() === null
    return {
      events: [...this.events],
      end: { atNanos: this.nowNanos, reason: this.hasHalted ? "halted" : isOver ? "idle" : "time" }
    }
  }

  // --- what the host does

  /** Asks the agent; the answer carries the token that is returned. */
  request(what: Request["what"]): number {
    this.tokens += 1
    this.hear()
    const { agent } = this.guest
    const takesNanos = what === "freeze" ? agent.freezeNanos : agent.thawNanos
    // It does one thing at a time, in the order in which it was asked. One that is silent hears nothing.
    if (agent.onFreeze !== "is-silent") {
      const from = Math.max(this.nowNanos, this.requests.at(-1)?.doneAtNanos ?? 0)
      this.requests.push({ what, token: this.tokens, doneAtNanos: from + takesNanos })
    }
    this.tellHart()
    return this.tokens
  }

  /** Lets a workload go that is held. */
  go(): void {
    this.hear()
    if (this.isAnnounced) this.release()
  }

  /** Lets the guest go on, as `Machine.run` does. */
  run(until: Until): Stop {
    const limit = Math.min(until.atNanos ?? Infinity, this.nowNanos + (until.budgetNanos ?? Infinity))
    const kinds = new Set<string>(until.kinds ?? [])
    const stop = (reason: Stop["reason"], seq: number | null): Stop => ({ reason, seq, atNanos: this.nowNanos })
    for (;;) {
      // As on a machine, it stops at the event: what else belongs to the moment comes with the next run.
      const event = this.deliver()
      if (event !== undefined && kinds.has(event._tag)) return stop("event", event.seq)
      if (event !== undefined) continue
      if (this.hasHalted) return stop("halted", null)
      const next = this.next()
      if (next === null && limit === Infinity) return stop("idle", null)
      if (next === null || next.atNanos > limit) {
        this.nowNanos = Math.max(this.nowNanos, limit)
        return stop(limit === until.atNanos ? "time" : "budget", null)
      }
      this.nowNanos = Math.max(this.nowNanos, next.atNanos)
      next.happens()
    }
  }

  /** Another guest in the same state. */
  copy(): LivingGuest {
    const copy = Object.assign(Object.create(LivingGuest.prototype) as LivingGuest, this)
    return Object.assign(copy, {
      events: [],
      requests: [...this.requests],
      listeners: new Set(this.listeners),
      undelivered: [...this.undelivered],
      onEvent: () => {}
    })
  }

  // --- what happens next

  private next(): { readonly atNanos: number; readonly happens: () => void } | null {
    if (this.hasHalted) return null
    const { announcedAtNanos, haltsAtNanos, heartbeats, holdNanos, system } = this.guest
    let first: { readonly atNanos: number; readonly happens: () => void } | null = null
    const may = (atNanos: number | undefined, happens: () => void): void => {
      if (atNanos !== undefined && (first === null || atNanos < first.atNanos)) first = { atNanos, happens }
    }
    // At one instant the agent comes first: what it has frozen does nothing any more.
    const [request] = this.requests
    may(request?.doneAtNanos, () => this.answer(request as Request))
    may(system[this.systemIndex]?.[0], () => this.emit(system[this.systemIndex++]?.[1] as EventBody))
    if (!this.isAnnounced) may(announcedAtNanos, () => this.announce())
    else if (this.isHeld && holdNanos !== null && this.frozenAtNanos === notFrozen)
      may(announcedAtNanos + holdNanos, () => this.release())
    const beat = heartbeats[this.beatIndex]
    if (beat !== undefined) may(this.isBeating ? beat + heartbeatWorkNanos : beat, () => this.beat())
    const mark = this.marks[this.mark]
    if (this.isRunning && mark !== undefined)
      may(this.ownSinceNanos + mark.atNanos - this.ownNanos, () => this.pass(mark))
    may(haltsAtNanos ?? undefined, () => this.halt())
    return first
  }

  private get isRunning(): boolean {
    return !this.isHeld && this.frozenAtNanos === notFrozen
  }

  private emit(event: EventBody): void {
    this.undelivered.push(event)
  }

  private deliver(): GuestEvent | undefined {
    const next = this.undelivered.shift()
    return next === undefined ? undefined : this.log(next)
  }

  private log({ _tag, ...fields }: EventBody): GuestEvent {
    const event = { _tag, seq: this.seq++, atNanos: this.nowNanos, ...fields } as unknown as GuestEvent
    this.events.push(event)
    if (event._tag === "ListenerBound") this.listeners.add(`${event.protocol} ${event.address} ${event.port}`)
    if (event._tag === "ListenerClosed") this.listeners.delete(`${event.protocol} ${event.address} ${event.port}`)
    this.onEvent(event)
    return event
  }

  /** What the host says is in the log at once. */
  private hear(): void {
    this.log({ _tag: "HostInput", kind: "control", port: 1, data: new Uint8Array(0) })
  }

  /** The hart is busy while anybody works. */
  private tellHart(): void {
    const isBusy =
      !this.isAnnounced || this.requests.length > 0 || this.isBeating || (this.isRunning && this.isWorkloadBusy)
    if (isBusy === this.isHartBusy) return
    this.isHartBusy = isBusy
    this.emit({ _tag: isBusy ? "GuestBusy" : "GuestIdle" })
  }

  private announce(): void {
    this.isAnnounced = true
    this.emit({ _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6.12" })
    this.emit({ _tag: "WorkloadPreExec", argv: ["serve"], holdNanos: this.guest.holdNanos })
    this.tellHart()
  }

  private release(): void {
    if (!this.isHeld) return
    this.isHeld = false
    this.ownSinceNanos = this.nowNanos
    this.tellHart()
  }

  private beat(): void {
    this.isBeating = !this.isBeating
    if (this.isBeating) {
      this.tellHart()
      this.emit({ _tag: "HeartbeatTick", count: this.beatIndex + 1 })
      return
    }
    this.beatIndex += 1
    this.tellHart()
  }

  private pass({ event }: Mark): void {
    this.mark += 1
    if (event === "busy" || event === "idle") this.isWorkloadBusy = event === "busy"
    else this.emit(event)
    this.tellHart()
  }

  private answer({ token, what }: Request): void {
    this.requests.shift()
    if (what === "freeze" && this.guest.agent.onFreeze === "refuses") this.emit(rejectedFreeze(token))
    else if (what === "freeze") {
      this.ownNanos = this.workloadNanos
      this.frozenAtNanos = this.frozenAtNanos === notFrozen ? this.nowNanos : this.frozenAtNanos
      this.emit({ _tag: "AgentQuiesced", token })
    } else {
      this.emit({ _tag: "AgentThawed", token })
      if (this.frozenAtNanos !== notFrozen) this.ownSinceNanos = this.nowNanos
      this.frozenAtNanos = notFrozen
    }
    this.tellHart()
  }

  private halt(): void {
    this.emit({ _tag: "GuestHalted", reason: 0 })
    this.hasHalted = true
  }
}

const marksOf = (workload: ReadonlyArray<WorkloadStep>): ReadonlyArray<Mark> => {
  const marks: Array<Mark> = []
  let atNanos = 0
  for (const { event, restNanos, workNanos } of workload) {
    if (restNanos > 0) marks.push({ atNanos, event: "idle" })
    atNanos += restNanos
    marks.push({ atNanos, event: "busy" })
    atNanos += workNanos
    marks.push({ atNanos, event })
  }
  return [...marks, { atNanos, event: "idle" }]
}
