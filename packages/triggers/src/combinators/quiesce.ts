import { guestTimeInWords } from "@stillpoint/core"
import type { GuestEvent, GuestEventKind, QuiesceReport, QuiesceVerdict } from "@stillpoint/core"
import { type Duration, Function } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { CauseMemory } from "../automaton/CauseMemory.ts"
import { kindNumber, type KindSet, kindSet } from "../automaton/eventKinds.ts"
import { Part, type Site, Status } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"
import { PolicyError, refuseUnknown } from "../PolicyError.ts"
import { type Activity, activityName, defaultActivity } from "./activity.ts"

/** How calm the guest must be, and what if it is not. */
export interface QuiesceOptions {
  /** Guest time for which the guest must have been calm without a break, between the firing and the capture. */
  readonly calmFor: Duration.Input
  /** Longest wait; 5 s if absent, `none` to wait for ever. Never longer than the hold of the trigger that fired. */
  readonly deadline?: Duration.Input | "none"
  /** What breaks the calm; {@link defaultActivity} if absent. */
  readonly activity?: ReadonlyArray<Activity>
  /** What to do when the deadline comes first: `fail` if absent. */
  readonly onDeadline?: "capture" | "abandon" | "fail"
  /**
   * Whether the agent is asked to freeze the workload, sync and drain first. `auto`, if absent: yes, except for a trigger that
   * holds the guest itself (pre-exec), and where no calm is asked for.
   */
  readonly agent?: "auto" | "ask" | "none"
}

/**
 * Holds a firing back until the guest is calm.
 *
 * With `t₀ = t(a)`, and `f` the time at which the agent has frozen the workload (`t₀` if it is not asked):
 * `quiesce(t, c)(a) = min { s ≥ max(t₀, f) + c | no activity in [s - c, s), the hart is at rest at s }`, if that is at most
 * `t₀ + deadline`; at the deadline the firing is captured all the same (verdict `deadline`), given up (`abandoned`), or the
 * whole policy fails (`QuiesceFailed`). Activity starts the count again.
 *
 * With `calmFor` 0, and without asking the agent, it fires when `t` does. A longer `calmFor` never captures earlier.
 *
 * - *Same instant*: activity at the very nanosecond at which the calm is full comes too late; calm that is full at the deadline
 *   is in time.
 * - *Already true at arming*: calm counts from the firing, not from before it.
 * - *Guest ends first*: does not fire. A guest that rests for ever is calm.
 * - *The hold of pre-exec*: a `calmFor` that does not fit into it is refused when the policy is built; the deadline is never
 *   after its end.
 *
 * @example
 * ```ts
 * import { eventHappens, defaultActivity, onListener, quiesce } from "@stillpoint/triggers"
 *
 * const policy = onListener().pipe(
 *   quiesce({ calmFor: "50 millis", deadline: "2 seconds", onDeadline: "capture", activity: [...defaultActivity, eventHappens("SerialLine")] })
 * )
 * console.log(policy.name) // quiesce(onListener, 50 ms)
 * ```
 */
export const quiesce: {
  (options: QuiesceOptions): (policy: Policy) => Policy
  (policy: Policy, options: QuiesceOptions): Policy
} = Function.dual(2, (policy: Policy, options: QuiesceOptions): Policy => {
  const settings = readSettings(policy, options)
  const { activity, agent, calmForNanos, deadlineNanos, onDeadline } = settings
  const spread = policy.shape.quiesced?.((part) => quiesce(part, options))
  return new Policy({
    name: `quiesce(${policy.name}, ${guestTimeInWords(calmForNanos)})`,
    description: {
      trigger: "quiesce",
      of: policy.description,
      calmForNanos,
      deadlineNanos,
      onDeadline,
      agent,
      activity: [...activity]
    },
    holdNanos: policy.holdNanos,
    build: spread?.shape.build ?? ((site) => new Quiesce(site, policy, settings))
  })
})

interface Settings {
  readonly calmForNanos: number
  readonly deadlineNanos: number | null
  readonly activity: ReadonlyArray<Activity>
  readonly onDeadline: "capture" | "abandon" | "fail"
  readonly agent: "auto" | "ask" | "none"
}

const readSettings = (policy: Policy, options: QuiesceOptions): Settings => {
  refuseUnknown("quiesce", options, ["calmFor", "deadline", "activity", "onDeadline", "agent"])
  const calmForNanos = toGuestNanos("quiesce.calmFor", options.calmFor)
  const deadline = options.deadline ?? "5 seconds"
  const deadlineNanos = deadline === "none" ? null : toGuestNanos("quiesce.deadline", deadline)
  const problems: Array<{ readonly path: ReadonlyArray<string>; readonly message: string }> = []
  const hold = policy.holdNanos
  if (hold !== null && calmForNanos > 0 && calmForNanos >= hold) {
    problems.push({
      path: ["quiesce", "calmFor"],
      message:
        `expected a calm that fits into the ${guestTimeInWords(hold)} for which ${policy.name} holds the guest, found ${guestTimeInWords(calmForNanos)}: ` +
        "ask for less, or make the agent hold for longer or until the host says go, and say so in the options of onPreExec"
    })
  }
  if (deadlineNanos !== null && calmForNanos > deadlineNanos) {
    problems.push({
      path: ["quiesce", "deadline"],
      message: `expected a deadline that leaves room for a calm of ${guestTimeInWords(calmForNanos)}, found ${guestTimeInWords(deadlineNanos)}`
    })
  }
  if (problems.length > 0) throw new PolicyError({ problems })
  return {
    calmForNanos,
    deadlineNanos,
    activity: options.activity ?? defaultActivity,
    onDeadline: options.onDeadline ?? "fail",
    agent: options.agent ?? "auto"
  }
}

// Cells.
const pendingCell = 0
const triggeredAtCell = 1
/** Since when it has been calm, or `ongoing`. */
const calmSinceCell = 2
const restartsCell = 3
const lastActivityCell = 4
const lastActivityAtCell = 5
/** Since when the hart executes, or -1 at rest. */
const busySinceCell = 6
/** Set once work has lasted for longer than is overlooked, or began before the firing. */
const busyCountsCell = 7
/** Set when the calm was full during work that may yet be overlooked. */
const fullCell = 8
const agentCell = 9
const lastSampleAtCell = 10
const ordinalCell = 11
const deadlineCell = 12
const cellCount = 13

const ongoing = -1
const Agent = { notAsked: 0, asked: 1, frozen: 2, refused: 3 } as const

class Quiesce extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly settings: Settings
  private readonly child: Part
  private readonly cause: CauseMemory
  private readonly settleTimer: number
  private readonly busyTimer: number
  private readonly deadlineTimer: number
  private readonly busy: number
  private readonly io: number
  private readonly dirty: number
  private readonly dirtyLimit: number
  private readonly toleranceNanos: number
  private readonly eventSet: KindSet
  private readonly customs: ReadonlyMap<string, number>
  private readonly pendingKinds: ReadonlyArray<number>

  constructor(site: Site, policy: Policy, settings: Settings) {
    const { activity, agent, calmForNanos } = settings
    const asksAgent = agent === "ask" || (agent === "auto" && calmForNanos > 0)
    super(site, "quiesce", cellCount)
    const { automaton } = site
    this.settings = settings
    this.cause = new CauseMemory(automaton)
    // In this order: calm that is full at the deadline is in time.
    this.settleTimer = automaton.timers.allocate(this)
    this.busyTimer = automaton.timers.allocate(this)
    this.deadlineTimer = automaton.timers.allocate(this)
    this.busy = activity.findIndex((one) => one.activity === "busy")
    this.io = activity.findIndex((one) => one.activity === "io")
    this.dirty = activity.findIndex((one) => one.activity === "dirty")
    this.toleranceNanos = activity.reduce(
      (least, one) => (one.activity === "busy" ? Math.min(least, one.longerThanNanos) : least),
      Infinity
    )
    this.dirtyLimit = activity.reduce(
      (least, one) => (one.activity === "dirty" ? Math.min(least, one.pagesPerSecond) : least),
      Infinity
    )
    const kinds = activity.flatMap((one) => (one.activity === "event" ? [one.kind] : []))
    this.eventSet = kindSet(kinds)
    this.customs = new Map(
      activity.flatMap((one, index) => (one.activity === "custom" ? [[one.name, index] as const] : []))
    )
    const watched: Array<GuestEventKind> = [
      ...(this.busy >= 0 ? (["GuestIdle", "GuestBusy"] as const) : []),
      ...(this.io >= 0 ? (["IoStarted", "IoSettled"] as const) : []),
      ...(this.dirty >= 0 ? (["PagesDirtied"] as const) : []),
      ...(asksAgent ? (["AgentQuiesced", "AgentThawed", "AgentRejected"] as const) : []),
      ...(this.customs.size > 0 ? (["Custom"] as const) : []),
      ...kinds
    ]
    // Without a calm to wait for, nothing that the guest does matters.
    const waits = calmForNanos > 0 || asksAgent
    this.pendingKinds = automaton.watch(this, waits ? [...new Set(watched)] : [])
    automaton.guest.follow(waits ? watched : [])
    this.child = policy.shape.build({ automaton, parent: this, index: 0 })
    this.children = [this.child]
    this.waitedFor = `${this.child.waitedFor}, then for calm of ${guestTimeInWords(calmForNanos)}`
  }

  protected onArm(): void {
    this.setCell(pendingCell, 0)
    this.child.arm()
  }

  protected onDisarm(): void {
    this.end(false)
    this.child.disarm()
  }

  override childFired(): void {
    const { automaton } = this
    if (this.cell(pendingCell) === 1) return
    this.child.disarm()
    const holds = automaton.cause.part?.holdNanos ?? null
    const held = holds === null ? null : automaton.cause.atNanos + holds - automaton.now
    const isHeld = held !== null && held > 0
    const { agent, calmForNanos, deadlineNanos } = this.settings
    const asks = agent === "ask" || (agent === "auto" && calmForNanos > 0 && !isHeld)
    const isIdle = automaton.guest.idleSince >= 0
    this.setCell(triggeredAtCell, automaton.now)
    this.setCell(restartsCell, 0)
    this.setCell(lastActivityCell, -1)
    this.setCell(lastActivityAtCell, 0)
    this.setCell(busySinceCell, isIdle ? -1 : automaton.now)
    this.setCell(busyCountsCell, isIdle ? 0 : 1)
    this.setCell(fullCell, 0)
    this.setCell(agentCell, asks ? (automaton.guest.isFrozen ? Agent.frozen : Agent.asked) : Agent.notAsked)
    this.setCell(lastSampleAtCell, -1)
    this.setCell(ordinalCell, automaton.ordinal)
    const limit = Math.min(deadlineNanos ?? Infinity, isHeld ? held : Infinity)
    this.setCell(deadlineCell, limit)
    if (calmForNanos === 0 && !asks) {
      automaton.cause.quiesceReport = this.report("settled")
      this.fire()
      return
    }
    this.cause.keep()
    this.setCell(pendingCell, 1)
    this.status = Status.quiescing
    automaton.listen(this.pendingKinds, 1)
    if (limit !== Infinity) automaton.timers.set(this.deadlineTimer, automaton.now + limit)
    const asksAnew = asks && !automaton.guest.isFrozen
    automaton.keepsFrozen = asks
    this.parent?.childPending(this.index)
    automaton.keepsFrozen = false
    if (asksAnew) automaton.command({ _tag: "RequestQuiesce" })
    this.setCell(calmSinceCell, this.isActive() ? ongoing : automaton.now)
    this.waitForCalm()
  }

  override onEvent(event: GuestEvent): void {
    const { automaton } = this
    if (this.cell(pendingCell) === 0 || this.cell(ordinalCell) === automaton.ordinal) return
    switch (event._tag) {
      case "GuestBusy":
        this.workBegins()
        break
      case "GuestIdle":
        this.workEnds()
        break
      case "IoStarted":
        if (this.io >= 0 && automaton.guest.inFlight === 1) this.activityBegins(this.io)
        break
      case "IoSettled":
        if (this.io < 0 || automaton.guest.inFlight > 0) break
        if (this.cell(calmSinceCell) === ongoing) this.activityEnds()
        // Nobody saw it start: it was in flight until now.
        else this.activityHappens(this.io)
        break
      case "PagesDirtied":
        this.sample(event.count)
        break
      case "AgentQuiesced":
        if (this.cell(agentCell) === Agent.asked) {
          this.setCell(agentCell, Agent.frozen)
          // The calm of a workload that could still have run does not count.
          if (this.cell(calmSinceCell) !== ongoing) this.setCell(calmSinceCell, automaton.now)
          this.waitForCalm()
        }
        break
      case "AgentThawed":
        if (this.cell(agentCell) === Agent.frozen) {
          this.setCell(agentCell, Agent.asked)
          automaton.timers.clear(this.settleTimer)
        }
        break
      case "AgentRejected":
        if (this.cell(agentCell) === Agent.asked && event.request === "Quiesce") {
          this.setCell(agentCell, Agent.refused)
          this.deadline()
          return
        }
        break
      default:
    }
    if (this.cell(pendingCell) === 0) return
    if (this.eventSet[kindNumber(event._tag)] === 1) this.activityHappens(this.indexOfEvent(event))
    if (event._tag === "Custom") {
      const index = this.customs.get(event.name)
      if (index !== undefined) this.activityHappens(index)
    }
  }

  override onTimer(timer: number): void {
    if (timer === this.deadlineTimer) this.deadline()
    else if (timer === this.busyTimer) {
      this.setCell(busyCountsCell, 1)
      this.setCell(fullCell, 0)
      this.activityBegins(this.busy)
    } else if (this.busy >= 0 && this.cell(busySinceCell) >= 0) this.setCell(fullCell, 1)
    else this.settle()
  }

  // --- activity

  private workBegins(): void {
    if (this.busy < 0 || this.cell(busySinceCell) >= 0) return
    this.setCell(busySinceCell, this.automaton.now)
    if (this.toleranceNanos === 0) {
      this.setCell(busyCountsCell, 1)
      this.activityBegins(this.busy)
    } else this.automaton.timers.set(this.busyTimer, this.automaton.now + this.toleranceNanos)
  }

  private workEnds(): void {
    if (this.busy < 0 || this.cell(busySinceCell) < 0) return
    this.automaton.timers.clear(this.busyTimer)
    const counted = this.cell(busyCountsCell) === 1
    this.setCell(busySinceCell, -1)
    this.setCell(busyCountsCell, 0)
    if (counted) this.activityEnds()
    else if (this.cell(fullCell) === 1) this.settle()
  }

  private sample(count: number): void {
    if (this.dirty < 0) return
    const before = this.cell(lastSampleAtCell)
    const { now } = this.automaton
    this.setCell(lastSampleAtCell, now)
    // The first sample holds what was dirtied before the firing, too.
    if (before >= 0 && count * 1e9 > this.dirtyLimit * (now - before)) this.activityHappens(this.dirty)
  }

  private isActive(): boolean {
    return (this.busy >= 0 && this.cell(busyCountsCell) === 1) || (this.io >= 0 && this.automaton.guest.inFlight > 0)
  }

  private activityBegins(index: number): void {
    this.noteActivity(index)
    this.setCell(calmSinceCell, ongoing)
    this.setCell(fullCell, 0)
    this.automaton.timers.clear(this.settleTimer)
  }

  private activityEnds(): void {
    if (this.cell(lastActivityCell) >= 0) this.setCell(lastActivityAtCell, this.automaton.now)
    if (this.isActive()) return
    this.setCell(calmSinceCell, this.automaton.now)
    this.waitForCalm()
  }

  private activityHappens(index: number): void {
    this.noteActivity(index)
    this.setCell(fullCell, 0)
    if (this.cell(calmSinceCell) === ongoing) return
    this.setCell(calmSinceCell, this.automaton.now)
    this.automaton.timers.clear(this.settleTimer)
    this.waitForCalm()
  }

  private noteActivity(index: number): void {
    // Activity during activity does not break a calm.
    if (this.cell(calmSinceCell) !== ongoing) this.setCell(restartsCell, this.cell(restartsCell) + 1)
    this.setCell(lastActivityCell, index)
    this.setCell(lastActivityAtCell, this.automaton.now)
  }

  private indexOfEvent(event: GuestEvent): number {
    return this.settings.activity.findIndex((one) => one.activity === "event" && one.kind === event._tag)
  }

  // --- the end of the wait

  private waitForCalm(): void {
    const agent = this.cell(agentCell)
    const since = this.cell(calmSinceCell)
    if (since === ongoing || agent === Agent.asked || agent === Agent.refused) return
    const due = since + this.settings.calmForNanos
    if (due > this.automaton.now) {
      this.automaton.timers.set(this.settleTimer, due)
      return
    }
    this.automaton.timers.clear(this.settleTimer)
    if (this.busy >= 0 && this.cell(busySinceCell) >= 0) this.setCell(fullCell, 1)
    else this.settle()
  }

  private settle(): void {
    this.finish("settled")
  }

  private deadline(): void {
    const { automaton, settings } = this
    if (settings.onDeadline === "capture") {
      this.finish("deadline")
      return
    }
    const quiesce = this.report(settings.onDeadline === "fail" ? "deadline" : "abandoned")
    this.cause.recall()
    const trigger = automaton.triggerName()
    if (settings.onDeadline === "fail") {
      automaton.fail({ _tag: "QuiesceFailed", policy: automaton.policyName, trigger, atNanos: automaton.now, quiesce })
      this.end(false)
      return
    }
    automaton.abandoned = { trigger, quiesce }
    this.disarm()
    this.status = Status.abandoned
  }

  private finish(verdict: QuiesceVerdict): void {
    const report = this.report(verdict)
    this.end(true)
    this.cause.recall()
    this.automaton.cause.quiesceReport = report
    this.fire()
  }

  /** Ends the wait, for the better (a capture follows, and the workload stays frozen) or not. */
  private end(captures: boolean): void {
    if (this.cell(pendingCell) === 0) return
    const { automaton } = this
    this.setCell(pendingCell, 0)
    automaton.listen(this.pendingKinds, -1)
    automaton.timers.clear(this.settleTimer)
    automaton.timers.clear(this.busyTimer)
    automaton.timers.clear(this.deadlineTimer)
    const agent = this.cell(agentCell)
    if (!captures && !automaton.keepsFrozen && (agent === Agent.asked || agent === Agent.frozen))
      automaton.command({ _tag: "RequestThaw" })
  }

  private report(verdict: QuiesceVerdict): QuiesceReport {
    const { automaton, settings } = this
    const triggeredAtNanos = this.cell(triggeredAtCell)
    const since = this.cell(calmSinceCell)
    const limit = this.cell(deadlineCell)
    const last = settings.activity[this.cell(lastActivityCell)]
    const immediate = this.cell(pendingCell) === 0
    return {
      verdict,
      triggeredAtNanos,
      calmForNanos: settings.calmForNanos,
      calmNanos: immediate || since === ongoing ? 0 : automaton.now - since,
      waitedNanos: automaton.now - triggeredAtNanos,
      deadlineNanos: limit === Infinity ? null : limit,
      onDeadline: settings.onDeadline,
      restarts: this.cell(restartsCell),
      lastActivity: last === undefined ? null : { kind: activityName(last), atNanos: this.cell(lastActivityAtCell) },
      agent: (["not-asked", "no-answer", "frozen", "refused"] as const)[this.cell(agentCell)] ?? "not-asked"
    }
  }

  override childPending(): void {
    // A quiesce within a quiesce: what the inner one wraps has fired, and lower triggers are out.
    this.parent?.childPending(this.index)
  }

  /** It waits for the sake of the trigger that fired, and is told by that one's name. */
  override get toldName(): string {
    return this.cause.part?.toldName ?? super.toldName
  }

  override get isTrigger(): boolean {
    return this.status === Status.quiescing || this.status === Status.overtaken || this.status === Status.abandoned
  }

  override progress(): string {
    if (this.status === Status.waiting) return ""
    const since = this.cell(calmSinceCell)
    const calm = since === ongoing ? 0 : this.watchedUntilNanos - since
    const restarts = this.cell(restartsCell)
    const state = this.cell(agentCell)
    const agent =
      state === Agent.asked
        ? ", the agent has not answered"
        : state === Agent.refused
          ? ", the agent refused to freeze the workload"
          : ""
    return (
      `calm for ${guestTimeInWords(calm)} of ${guestTimeInWords(this.settings.calmForNanos)}, ` +
      `${restarts === 1 ? "1 restart" : `${restarts} restarts`}${agent}`
    )
  }
}
