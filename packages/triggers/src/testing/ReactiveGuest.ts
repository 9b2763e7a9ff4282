/**
 * A model of a guest that reacts: a frozen workload does nothing, and what it does afterwards is later for that.
 *
 * ```text
 * guest time     ├────────────┼──────────────────┼──────────────▶
 * host                        freeze             thaw
 * agent                        └▶ AgentFrozen   └▶ AgentThawed
 * workload       a ─── b ───── c ┆ stands still  ┆ d ─── e
 * heartbeats     ♥      ♥      ♥ ┆               ┆       ♥      ♥
 * ```
 *
 * Work takes as much longer as the workload was frozen. A rest is over when it would have been: time goes on, as a sleep in a
 * frozen process does; what comes next comes with the thaw then. The agent pauses its heartbeats while the workload is frozen.
 *
 * A played timeline has no such thing: whatever a policy asks of it, the same happens at the same time.
 *
 * @module
 */
import type { GuestEvent, GuestEventOf, GuestNanos, Machine } from "@stillpoint/core"
import type { Effect } from "effect"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { preExecMarker } from "../builtin/onPreExec.ts"
import type { EventBody } from "./guestEvents.ts"

/** What the workload does next. */
export interface WorkloadStep {
  /** Nanoseconds for which it rests first, as in a sleep; the hart is at rest, too. */
  readonly restNanos: number
  /** Nanoseconds for which it then works; the hart is busy. Not counted while it is frozen. */
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
  /** The agent's heartbeats: how far apart, and how many. */
  readonly heartbeats: { readonly everyNanos: number; readonly count: number }
  /** When the agent announces the workload. */
  readonly announcedAtNanos: GuestNanos
  /** For how long it then holds it; `null`: until the host says go. */
  readonly holdNanos: number | null
  /** Whether the console says so, too: before the agent is heard for the first time, or after. */
  readonly marks?: "before-agent" | "after-agent" | null
  readonly workload: ReadonlyArray<WorkloadStep>
  readonly agent: AgentManners
  /** When it halts; `null`: it rests for ever once it has nothing to do. */
  readonly haltsAtNanos: GuestNanos | null
}

/**
 * Requests that an agent answers before its guest halts: a policy may ask for ever (one that starts a wait of a second anew every
 * 20 ms), and what is generated has to end.
 */
const mostRequests = 2_000

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

const heartbeatWorkNanos = 120_000
const rejectedFreeze = (id: number): EventBody => ({
  _tag: "AgentRejected",
  request: "Freeze",
  id,
  reason: "FreezeFailed",
  message: "the workload does not freeze"
})
const marker: EventBody = { _tag: "SerialLine", port: 0, text: preExecMarker }
const notFrozen = -1

/** A guest that lives: it is run, asked, and tells the truth about itself. */
export class LivingGuest {
  readonly guest: ReactiveGuest
  readonly events: Array<GuestEvent> = []
  nowNanos = 0
  /** Whether it has halted. */
  hasHalted = false
  /** Whether its last run ended because nothing was to come. */
  private hasRested = false
  /** How many of its steps the workload has done. */
  stepsDone = 0
  private systemIndex = 0
  private beats = 0
  private beatAtNanos = Infinity
  private isBeating = false
  private isAnnounced = false
  private isHeld = true
  /** When the rest of the step is over; what is left of its work, and since when that has been done. */
  private restUntilNanos = 0
  private workLeftNanos = 0
  private workSinceNanos = 0
  private isWorking = false
  private frozenAtNanos = notFrozen
  private isHartBusy = true
  private requests: Array<Request> = []
  private tokens = 0
  /** When each token was asked for. */
  private readonly askedAt: Array<GuestNanos> = []
  private seq = 0
  /** What has happened at this moment, and no run has come to yet. */
  private undelivered: Array<EventBody> = []
  /** Whoever listens to what happens. */
  onEvent: (event: GuestEvent) => void = () => {}

  constructor(guest: ReactiveGuest) {
    this.guest = guest
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

  /** Whether the agent has a request that it has not answered. */
  get isAsked(): boolean {
    return this.requests.length > 0
  }

  /** When the request that carries a token was made. */
  askedAtNanos(token: number): GuestNanos {
    return this.askedAt[token] ?? 0
  }

  /** What has happened, as a timeline that can be replayed. */
  get timeline(): ReplayedTimeline {
    const isOver = this.hasRested || (this.undelivered.length === 0 && this.next() === null)
    return {
      events: [...this.events],
      end: { atNanos: this.nowNanos, reason: this.hasHalted ? "halted" : isOver ? "idle" : "time" }
    }
  }

  // --- what the host does

  /** Asks the agent; the answer carries the token that is returned. */
  request(what: Request["what"]): number {
    this.tokens += 1
    this.askedAt[this.tokens] = this.nowNanos
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
    this.hasRested = false
    const stop = (reason: Stop["reason"], seq: number | null): Stop => ({ reason, seq, atNanos: this.nowNanos })
    for (;;) {
      // As on a machine, it stops at the event: what else belongs to the moment comes with the next run.
      const event = this.deliver()
      if (event !== undefined && kinds.has(event._tag)) return stop("event", event.seq)
      if (event !== undefined) continue
      if (this.hasHalted) return stop("halted", null)
      const next = this.next()
      if (next === null && limit === Infinity) {
        this.hasRested = true
        return stop("idle", null)
      }
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
      askedAt: [...this.askedAt],
      listeners: new Set(this.listeners),
      undelivered: [...this.undelivered],
      onEvent: () => {}
    })
  }

  // --- what happens next

  private next(): { readonly atNanos: number; readonly happens: () => void } | null {
    if (this.hasHalted) return null
    const { announcedAtNanos, haltsAtNanos, holdNanos, system } = this.guest
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
    if (this.beatAtNanos !== Infinity) may(this.beatAtNanos, () => this.beat())
    if (this.isRunning && this.stepsDone < this.guest.workload.length) {
      if (this.isWorking) may(this.workSinceNanos + this.workLeftNanos, () => this.finishStep())
      else may(Math.max(this.restUntilNanos, this.nowNanos), () => this.work())
    }
    may(this.isWornOut ? this.nowNanos : (haltsAtNanos ?? undefined), () => this.halt())
    return first
  }

  /** The host has asked more often than anybody does whose policy comes to an end. */
  get isWornOut(): boolean {
    return this.tokens > mostRequests
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
    const isBusy = !this.isAnnounced || this.requests.length > 0 || this.isBeating || (this.isRunning && this.isWorking)
    if (isBusy === this.isHartBusy) return
    this.isHartBusy = isBusy
    this.emit({ _tag: isBusy ? "GuestBusy" : "GuestIdle" })
  }

  private announce(): void {
    this.isAnnounced = true
    if (this.guest.heartbeats.count > 0) this.beatAtNanos = this.nowNanos + this.guest.heartbeats.everyNanos
    const { marks } = this.guest
    if (marks === "before-agent") this.emit(marker)
    this.emit({ _tag: "AgentReady", protocolVersion: 1, kernelRelease: "6.12" })
    if (marks === "after-agent") this.emit(marker)
    this.emit({ _tag: "WorkloadPreExec", argv: ["serve"], holdNanos: this.guest.holdNanos })
    this.tellHart()
  }

  private release(): void {
    if (!this.isHeld) return
    this.isHeld = false
    this.beginStep()
  }

  private beginStep(): void {
    const step = this.guest.workload[this.stepsDone]
    this.isWorking = false
    if (step !== undefined) {
      this.restUntilNanos = this.nowNanos + step.restNanos
      if (step.restNanos === 0) return this.work()
    }
    this.tellHart()
  }

  private work(): void {
    this.isWorking = true
    this.workSinceNanos = this.nowNanos
    this.workLeftNanos = this.guest.workload[this.stepsDone]?.workNanos ?? 0
    this.tellHart()
  }

  private finishStep(): void {
    this.emit(this.guest.workload[this.stepsDone]?.event as EventBody)
    this.stepsDone += 1
    this.beginStep()
  }

  private beat(): void {
    this.isBeating = !this.isBeating
    if (this.isBeating) {
      this.beats += 1
      this.beatAtNanos = this.nowNanos + heartbeatWorkNanos
      this.tellHart()
      this.emit({ _tag: "HeartbeatTick", count: this.beats })
      return
    }
    const { count, everyNanos } = this.guest.heartbeats
    this.beatAtNanos = this.beats < count ? this.nowNanos - heartbeatWorkNanos + everyNanos : Infinity
    this.tellHart()
  }

  /** Pauses the heartbeats, or lets them go on, the next a whole period later. */
  private keepStill(on: boolean): void {
    const { count, everyNanos } = this.guest.heartbeats
    this.isBeating = false
    this.beatAtNanos = on || this.beats >= count ? Infinity : this.nowNanos + everyNanos
  }

  private answer({ token, what }: Request): void {
    this.requests.shift()
    if (what === "freeze" && this.guest.agent.onFreeze === "refuses") this.emit(rejectedFreeze(token))
    else if (what === "freeze") {
      if (this.isRunning && this.isWorking) this.workLeftNanos -= this.nowNanos - this.workSinceNanos
      if (this.frozenAtNanos === notFrozen) this.frozenAtNanos = this.nowNanos
      this.keepStill(true)
      this.emit({ _tag: "AgentFrozen", token })
    } else {
      this.emit({ _tag: "AgentThawed", token })
      if (this.frozenAtNanos !== notFrozen) this.workSinceNanos = this.nowNanos
      this.frozenAtNanos = notFrozen
      this.keepStill(false)
    }
    this.tellHart()
  }

  private halt(): void {
    this.emit({ _tag: "GuestHalted", reason: 0 })
    this.hasHalted = true
  }
}
