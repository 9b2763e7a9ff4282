/**
 * A model of a guest that reacts: a frozen workload does nothing, and its later steps are delayed.
 *
 * ```text
 * guest time     ├────────────┼──────────────────┼──────────────▶
 * host                        freeze             thaw
 * agent                        └▶ AgentFrozen   └▶ AgentThawed
 * workload       a ─── b ───── c ┆ stands still  ┆ d ─── e
 * heartbeats     ♥      ♥      ♥ ┆               ┆       ♥      ♥
 * ```
 *
 * Work is delayed by as long as the workload was frozen. A rest ends at its original time, like a sleep in a frozen process; the
 * next step then comes with the thaw. The agent pauses its heartbeats while the workload is frozen.
 *
 * A played timeline cannot react: whatever a policy requests, the same events come at the same times.
 *
 * @module
 */
import type { GuestEvent, GuestEventOf, GuestNanos, Machine } from "@stillpoint/core"
import type { Effect } from "effect"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { preExecMarker } from "../builtin/onPreExec.ts"
import type { EventBody } from "./guestEvents.ts"

/** A step of the workload. */
export interface WorkloadStep {
  /** Nanoseconds for which it rests first, as in a sleep; the hart is at rest, too. */
  readonly restNanos: number
  /** Nanoseconds for which it then works; the hart is busy. Not counted while it is frozen. */
  readonly workNanos: number
  /** Its event. */
  readonly event: EventBody
}

/** The behaviour of an agent. */
export interface AgentManners {
  /** Its reaction to a request to freeze the workload. */
  readonly onFreeze: "freezes" | "refuses" | "is-silent"
  /** From its beginning with a request to the answer. The workload runs until it is frozen. */
  readonly freezeNanos: number
  readonly thawNanos: number
}

/** A guest, before its first instruction. */
export interface ReactiveGuest {
  /** Events that come whatever happens to the workload, by guest time, in order. */
  readonly system: ReadonlyArray<readonly [atNanos: GuestNanos, event: EventBody]>
  /** The agent's heartbeats: how far apart, and how many. */
  readonly heartbeats: { readonly everyNanos: number; readonly count: number }
  /** The time at which the agent announces the workload. */
  readonly announcedAtNanos: GuestNanos
  /** For how long it then holds it; `null`: until the host says go. */
  readonly holdNanos: number | null
  /** Whether the console announces it too: before or after the agent is first heard. */
  readonly marks?: "before-agent" | "after-agent" | null
  readonly workload: ReadonlyArray<WorkloadStep>
  readonly agent: AgentManners
  /** The time of its halt; `null` if it rests forever once it has nothing to do. */
  readonly haltsAtNanos: GuestNanos | null
}

/**
 * Maximum number of requests that an agent answers before its guest halts: a policy may ask forever (one that restarts a wait of
 * a second every 20 ms), and a generated case must end.
 */
const mostRequests = 2_000

type Until = Parameters<Machine["run"]>[0]
type Stop = Effect.Success<ReturnType<Machine["run"]>>

/** The identity of a listener. */
export type ListenerName = Pick<GuestEventOf<"ListenerBound">, "protocol" | "address" | "port">

/** A request to the agent, and the time of its answer. */
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
  /** Whether its last run ended because no event was to come. */
  private hasRested = false
  /** Number of steps that the workload has done. */
  stepsDone = 0
  private systemIndex = 0
  private beats = 0
  private beatAtNanos = Infinity
  private isBeating = false
  private isAnnounced = false
  private isHeld = true
  /** The end of the step's rest; its remaining work, and since when that is in progress. */
  private restUntilNanos = 0
  private workLeftNanos = 0
  private workSinceNanos = 0
  private isWorking = false
  private frozenAtNanos = notFrozen
  private isHartBusy = true
  private requests: Array<Request> = []
  private tokens = 0
  /** The time of each token's request. */
  private readonly askedAt: Array<GuestNanos> = []
  private seq = 0
  /** Events of this moment that no run has delivered yet. */
  private undelivered: Array<EventBody> = []
  /** The listener for events. */
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

  /** The workload's listeners. */
  readonly listeners = new Set<string>()

  /** Whether the workload still has a listener. */
  isListening({ address, port, protocol }: ListenerName): boolean {
    return this.listeners.has(`${protocol} ${address} ${port}`)
  }

  /** Whether the agent has an unanswered request. */
  get isAsked(): boolean {
    return this.requests.length > 0
  }

  /** The time of the request with a token. */
  askedAtNanos(token: number): GuestNanos {
    return this.askedAt[token] ?? 0
  }

  /** The events so far, as a timeline that can be replayed. */
  get timeline(): ReplayedTimeline {
    const isOver = this.hasRested || (this.undelivered.length === 0 && this.next() === null)
    return {
      events: [...this.events],
      end: { atNanos: this.nowNanos, reason: this.hasHalted ? "halted" : isOver ? "idle" : "time" }
    }
  }

  // --- operations of the host

  /** Asks the agent; the answer carries the token that is returned. */
  request(what: Request["what"]): number {
    this.tokens += 1
    this.askedAt[this.tokens] = this.nowNanos
    this.hear()
    const { agent } = this.guest
    const takesNanos = what === "freeze" ? agent.freezeNanos : agent.thawNanos
    // The agent answers requests one at a time, in order. A silent one ignores them.
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

  /** Runs the guest, as `Machine.run` does. */
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

  // --- the next event

  private next(): { readonly atNanos: number; readonly happens: () => void } | null {
    if (this.hasHalted) return null
    const { announcedAtNanos, haltsAtNanos, holdNanos, system } = this.guest
    let first: { readonly atNanos: number; readonly happens: () => void } | null = null
    const may = (atNanos: number | undefined, happens: () => void): void => {
      if (atNanos !== undefined && (first === null || atNanos < first.atNanos)) first = { atNanos, happens }
    }
    // At one instant the agent comes first: a workload that it has frozen does nothing more.
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

  /** The host has made more requests than any terminating policy would. */
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

  /** Input of the host is in the log at once. */
  private hear(): void {
    this.log({ _tag: "HostInput", kind: "control", port: 1, data: new Uint8Array(0) })
  }

  /** The hart is busy while any step or request is in progress. */
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

  /** Pauses the heartbeats, or continues them, the next one a whole period later. */
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
