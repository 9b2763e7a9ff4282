/**
 * The part behind `quiesce`: a trigger, and then the agent, the calm and the deadline of a wait, and the report of it.
 *
 * @module
 */
import { type GuestEvent, type GuestEventKind, guestTimeInWords, type QuiesceVerdict } from "@stillpoint/core"
import type { Channel } from "../../automaton/Channel.ts"
import { correctedBy, type Fired } from "../../automaton/Fired.ts"
import { Part, type Site } from "../../automaton/Part.ts"
import type { Timer } from "../../automaton/Timers.ts"
import type { Policy } from "../../Policy.ts"
import type { Activity } from "../activity.ts"
import { AgentFreeze, agentAnswers } from "./AgentFreeze.ts"
import { Calm, type CalmHost } from "./Calm.ts"
import { Deadline } from "./Deadline.ts"
import { Report } from "./Report.ts"

/** The options of a quiesce, read. */
export interface QuiesceSettings {
  readonly calmForNanos: number
  readonly deadlineNanos: number | null
  readonly activity: ReadonlyArray<Activity>
  readonly onDeadline: "capture" | "abandon" | "fail"
  readonly agent: "auto" | "ask" | "none"
}

interface Memory {
  /** The firing that waits for calm; `null` if there is none. */
  pending: Fired | null
  /** The trigger that fired last; -1 for none. */
  firedBy: number
  /** The input that caused it. */
  triggeredByOrdinal: number
}

/** Holds the firing of a trigger back until the guest is calm. */
export class QuiescePart extends Part<Memory> implements CalmHost {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly settings: QuiesceSettings
  private readonly child: Part
  private readonly calm: Calm
  private readonly agent: AgentFreeze
  private readonly deadline: Deadline
  private readonly report: Report
  private readonly pendingChannels: ReadonlyArray<Channel>

  constructor(site: Site, policy: Policy, settings: QuiesceSettings) {
    super(site, "quiesce", { pending: null, firedBy: -1, triggeredByOrdinal: -1 })
    const { automaton } = site
    const { activity, agent, calmForNanos } = settings
    this.settings = settings
    // Its timers before the deadline's: calm that is full at the deadline is in time.
    this.calm = new Calm(automaton, this, calmForNanos, activity)
    this.deadline = new Deadline(automaton, this)
    this.agent = new AgentFreeze(automaton)
    this.report = new Report(automaton, settings, this.calm, this.agent)
    const mayAsk = agent === "ask" || (agent === "auto" && calmForNanos > 0)
    const watched = [
      ...new Set<GuestEventKind>([
        ...this.calm.kinds,
        "ListenerClosed",
        "WorkloadPreExec",
        ...(mayAsk ? agentAnswers : []),
        ...(agent === "none" ? (["AgentFrozen", "AgentThawed"] as const) : [])
      ])
    ]
    // Without a calm to wait for, nothing that the guest does matters.
    const waits = calmForNanos > 0 || mayAsk
    this.pendingChannels = automaton.channels.watch(this, waits ? watched : [])
    automaton.channels.follow(waits ? watched : [])
    this.child = policy.build(this)
    this.children = [this.child]
    this.waitedFor = `${this.child.waitedFor}, then for calm of ${guestTimeInWords(calmForNanos)}`
  }

  protected onArm(): void {
    this.memory.firedBy = -1
    this.child.arm()
  }

  protected onDisarm(): void {
    this.end(false)
    this.child.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    const { automaton, memory } = this
    if (memory.pending !== null) return
    this.child.disarm()
    const { agent, calmForNanos, deadlineNanos } = this.settings
    const heldNanos = Math.max(0, (fired.heldUntilNanos ?? 0) - automaton.nowNanos)
    const isHeld = heldNanos > 0
    const asks = agent === "ask" || (agent === "auto" && calmForNanos > 0 && !isHeld)
    // The workload begins at the end of the hold, so the wait must end a nanosecond before.
    const limitNanos = Math.min(deadlineNanos ?? Infinity, isHeld ? heldNanos - 1 : Infinity)
    this.report.begin()
    memory.firedBy = fired.by
    memory.triggeredByOrdinal = automaton.ordinal
    if (isHeld && calmForNanos >= heldNanos) {
      automaton.fail({
        _tag: "HoldTooShort",
        policy: automaton.policyName,
        trigger: automaton.part(fired.by)?.calledName ?? automaton.policyName,
        atNanos: automaton.nowNanos,
        holdNanos: heldNanos,
        calmForNanos
      })
      return
    }
    // There is no wait: it behaves as its trigger, and reports that trigger's own calm.
    if (calmForNanos === 0 && !asks) {
      this.fire(fired)
      return
    }
    this.calm.begin(agent === "none" && !isHeld)
    memory.pending = fired
    this.status = "quiescing"
    automaton.channels.listen(this.pendingChannels, 1)
    this.deadline.begin(limitNanos)
    this.agent.begin(asks)
    this.parent?.childPending(this.index)
    this.calm.wait()
  }

  /** Whether complete calm may be reported. */
  get isReady(): boolean {
    return this.agent.isReady
  }

  override overlooks(): boolean {
    return this.memory.pending === null
  }

  override onEvent(event: GuestEvent): void {
    const { automaton, memory } = this
    if (memory.triggeredByOrdinal === automaton.ordinal) return
    const { pending } = memory
    const trigger = automaton.part(memory.firedBy)
    if (trigger?.isUndoneBy(event, pending?.event ?? null) === true) {
      this.resume()
      return
    }
    const correction = trigger?.corrected(event, pending?.event ?? null) ?? null
    if (pending !== null && correction !== null) {
      // The wait begins as if it had fired on that.
      this.end(false)
      this.childFired(0, correctedBy(pending, correction))
      return
    }
    switch (this.agent.take(event)) {
      case "froze":
        // The calm of a workload that could still have run does not count.
        this.calm.restart()
        this.calm.wait()
        break
      case "thawed":
        this.calm.interrupt()
        break
      case "refused":
        this.onDeadline()
        break
      case null:
    }
    if (this.memory.pending !== null) this.calm.onEvent(event)
  }

  override onTimer(timer: Timer): void {
    if (timer === this.deadline.timer) this.onDeadline()
    else this.calm.onTimer(timer)
  }

  // --- the end of the wait

  /** The event that the trigger fired on is revoked: waits for it again, and for the triggers that it had eliminated. */
  private resume(): void {
    this.end(false)
    this.memory.firedBy = -1
    this.status = "waiting"
    this.parent?.childResumed(this.index)
    this.child.arm()
  }

  onCalm(): void {
    this.decide("settled")
  }

  private onDeadline(): void {
    const { automaton, memory, settings } = this
    if (settings.onDeadline === "capture") {
      this.decide("deadline")
      return
    }
    const quiesce = this.report.end(settings.onDeadline === "fail" ? "deadline" : "abandoned", this.deadline.limitNanos)
    const trigger = automaton.part(memory.pending?.by ?? -1)?.calledName ?? automaton.policyName
    if (settings.onDeadline === "fail") {
      automaton.fail({
        _tag: "QuiesceFailed",
        policy: automaton.policyName,
        trigger,
        atNanos: automaton.nowNanos,
        quiesce
      })
      this.end(false)
      return
    }
    automaton.abandoned = { trigger, quiesce }
    this.disarm()
    this.status = "abandoned"
  }

  private decide(verdict: QuiesceVerdict): void {
    const { pending } = this.memory
    if (pending === null) return
    const quiesce = this.report.end(verdict, this.deadline.limitNanos)
    this.end(true)
    this.fire({ ...pending, quiesce })
  }

  /** Ends the wait: with a decision, for which the workload stays frozen, or without. */
  private end(decides: boolean): void {
    if (this.memory.pending === null) return
    this.memory.pending = null
    this.automaton.channels.listen(this.pendingChannels, -1)
    this.calm.end()
    this.deadline.end()
    this.agent.end(decides)
  }

  override childPending(): void {
    // A quiesce within a quiesce: the inner one's trigger has fired, and lower triggers are eliminated.
    this.parent?.childPending(this.index)
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }

  override get isTrigger(): boolean {
    const { status } = this
    // Its time ran out during the wait for calm: its trigger had fired.
    if (status === "expired") return this.memory.firedBy !== -1
    return status === "quiescing" || status === "overtaken" || status === "abandoned"
  }

  /** It waits on behalf of the trigger that fired, and is reported by that one's name. */
  override get tellsOf(): number {
    return this.memory.firedBy
  }

  override get toldName(): string {
    return this.automaton.part(this.tellsOf)?.toldName ?? super.toldName
  }

  override progress(): string {
    return this.status === "waiting" ? "" : this.report.progress()
  }
}
