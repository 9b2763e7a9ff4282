/**
 * The automaton that every policy is, driven by events, guest time and signals.
 *
 * Events go straight to the parts that wait for their kind, in the order of the policy read from left to right; a part that fires
 * notifies its parent. The cost of an event therefore does not grow with the depth of the policy, and an event that causes no
 * action allocates nothing. The knowledge of all parts between two inputs is in {@link Memories}: together they are the state.
 *
 * @module
 */
import {
  Firing,
  type GuestActivity,
  type GuestEvent,
  type GuestNanos,
  type QuiesceReport,
  TriggerError,
  type TriggerProgress,
  type TriggerReason,
  type TriggerSignal
} from "@stillpoint/core"
import type { AutomatonPart } from "./AutomatonPart.ts"
import type { Channel } from "./Channel.ts"
import { Channels } from "./Channels.ts"
import { afterRounds, Circles, passedNanos, type Round } from "./Circle.ts"
import { kindNumber } from "./eventKinds.ts"
import type { Fired } from "./Fired.ts"
import { Freezes } from "./Freezes.ts"
import { GuestCondition } from "./GuestCondition.ts"
import { Memories } from "./Memory.ts"
import type { PolicyCommand, PolicyState } from "./PolicyStep.ts"
import { Timers } from "./Timers.ts"

/** A quiesce that ended without calm and without a capture. */
export interface Abandonment {
  readonly trigger: string
  readonly quiesce: QuiesceReport
}

/** Something that an automaton can be made of. */
export interface AutomatonSource {
  /** In words. */
  readonly name: string
  /** An automaton of its own, to be started. */
  readonly instantiate: () => Automaton
  /** Lends an automaton for as long as a function runs. */
  readonly borrow: <A>(use: (automaton: Automaton) => A) => A
}

/** The automaton of one policy. */
export class Automaton {
  readonly policyName: string
  readonly memories = new Memories()
  /** The policy's position. */
  private readonly moment = this.memories.make({
    nowNanos: 0,
    /** The ordinal of the present input: differs between any two that parts see. */
    inputOrdinal: 0,
    /** The last event that was passed, whether it mattered or not. */
    lastSeq: -1,
    firedCount: 0,
    hasEnded: false,
    /** The report of an abandoned quiesce, in case nothing else can fire. */
    abandoned: null as Abandonment | null
  })
  /** The parts that wait for each kind of event. */
  readonly channels = new Channels()
  readonly guest = new GuestCondition(this.memories)
  readonly timers = new Timers(this.moment, this.memories)
  /** Whether commands are kept for a runner; a replay does not need them. */
  keepsCommands = false
  readonly commands: Array<PolicyCommand> = []
  readonly freezes = new Freezes(this.memories, (command) => this.command(command))
  firing: Firing | null = null
  failure: TriggerError | null = null

  private readonly parts: Array<AutomatonPart> = []
  private readonly probes = new Map<string, AutomatonPart>()
  private root: AutomatonPart | null = null

  constructor(policyName: string) {
    this.policyName = policyName
  }

  // --- building

  /** Takes in a part; answers its number. */
  register(part: AutomatonPart): number {
    return this.parts.push(part) - 1
  }

  registerProbe(key: string, part: AutomatonPart): void {
    this.probes.set(key, part)
  }

  finish(root: AutomatonPart): void {
    this.root = root
  }

  // --- life

  /**
   * Arms the policy again. It decides on later events only; the given earlier ones, after the guest's activity before them,
   * establish the guest's condition.
   */
  start(
    originNanos: GuestNanos,
    earlier: ReadonlyArray<GuestEvent> = [],
    beginning: GuestActivity | undefined = undefined
  ): void {
    const { moment } = this
    this.memories.reset()
    this.forget()
    if (beginning !== undefined) {
      this.guest.begin(beginning)
      moment.lastSeq = beginning.nextSeq - 1
    }
    for (const event of earlier) {
      if (this.channels.of(event._tag).isTelling) this.guest.take(event)
      moment.lastSeq = event.seq
    }
    moment.nowNanos = originNanos
    this.timers.nextDueNanos = Infinity
    this.root?.arm()
    this.freezes.endInput(this.firing !== null)
  }

  save(): PolicyState {
    return this.memories.save()
  }

  load(state: PolicyState): void {
    this.memories.load(state)
    this.forget()
    this.channels.waitForTheArmed()
    this.timers.earliest()
  }

  /** Releases everything that it was given. */
  release(): void {
    this.keepsCommands = false
    this.memories.reset()
    this.forget()
  }

  /** Forgets all that is not remembered. */
  private forget(): void {
    this.channels.waitForNothing()
    this.timers.tooMuch = null
    this.failure = null
    this.clearOutcome()
  }

  /** Clears the result of the previous input. */
  clearOutcome(): void {
    this.firing = null
    this.commands.length = 0
  }

  // --- reading

  get nowNanos(): GuestNanos {
    return this.moment.nowNanos
  }

  get ordinal(): number {
    return this.moment.inputOrdinal
  }

  get lastSeq(): number {
    return this.moment.lastSeq
  }

  /** Whether the policy has ended: it fired for the last time, or failed. */
  get hasEnded(): boolean {
    return this.moment.hasEnded
  }

  get firedCount(): number {
    return this.moment.firedCount
  }

  get abandoned(): Abandonment | null {
    return this.moment.abandoned
  }

  set abandoned(abandonment: Abandonment | null) {
    this.moment.abandoned = abandonment
  }

  /** Guest time of the earliest timer; `null` for none. */
  get wakeAtNanos(): GuestNanos | null {
    const due = this.timers.earliest()
    return due === Infinity ? null : due
  }

  /** Whether the policy can no longer fire. */
  get isExhausted(): boolean {
    if (this.hasEnded || this.channels.isListening || this.timers.earliest() !== Infinity) return false
    for (const probe of this.probes.values()) if (probe.life.isArmed) return false
    return true
  }

  /**
   * The triggers of the policy and the progress of each, from left to right, without the trigger that `except` names, unless that
   * has been armed again since it fired and waits for calm again.
   */
  progress(except: AutomatonPart | null = null): ReadonlyArray<TriggerProgress> {
    return this.parts
      .filter((part) => part.isTrigger && !part.isToldAbove && part.tellsOf !== except?.id)
      .map((part) => part.account())
  }

  /** The part with a number. */
  part(id: number): AutomatonPart | null {
    return this.parts[id] ?? null
  }

  // --- inputs

  /**
   * Handles events from `from` on; stops after the first that causes a firing or a failure, or after which no further one is
   * possible. Allocates nothing on the way. Returns the index of the first event that was not handled. Timers that are due at an
   * event's time or before go off first, so the event itself may be unhandled if a timer fires.
   */
  run(events: ReadonlyArray<GuestEvent>, from: number, to: number): number {
    const { freezes, guest, moment, timers } = this
    const channels = this.channels.byNumber
    freezes.beginInput()
    for (let index = from; index < to; index++) {
      const event = events[index] as GuestEvent
      if (event.atNanos >= timers.nextDueNanos || moment.nowNanos >= timers.nextDueNanos) {
        this.reach(Math.max(moment.nowNanos, event.atNanos))
        if (this.isOver()) return index
      }
      // Guest time never goes back: an event that comes late happens now.
      if (event.atNanos > moment.nowNanos) moment.nowNanos = event.atNanos
      moment.lastSeq = event.seq
      const channel = channels[kindNumber(event._tag)] as Channel
      if (channel.isQuiet) continue
      if (channel.isTelling) {
        guest.take(event)
        freezes.take(event)
      }
      if (channel.waiting > 0 && this.dispatch(channel, event)) {
        freezes.endInput(this.firing !== null)
        if (this.isOver()) return index + 1
      }
    }
    return to
  }

  private isOver(): boolean {
    return this.firing !== null || this.moment.hasEnded || this.isExhausted
  }

  /** Hands an event to the parts that wait for its kind; answers whether any of them did not overlook it. */
  private dispatch({ listeners }: Channel, event: GuestEvent): boolean {
    const { moment } = this
    let isSeen = false
    for (let index = 0; index < listeners.length; index++) {
      const { life, part } = listeners[index] as Channel["listeners"][number]
      if (!life.isArmed || (isSeen && life.armedByOrdinal === moment.inputOrdinal) || part.overlooks(event)) continue
      if (!isSeen) moment.inputOrdinal += 1
      isSeen = true
      part.onEvent(event)
      if (moment.hasEnded) return true
    }
    return isSeen
  }

  /** Guest time has reached `atNanos`: timers that are due go off, instant by instant, up to the first firing. */
  reach(atNanos: GuestNanos): void {
    const { moment, timers } = this
    let circles: Circles | null = null
    for (;;) {
      const due = timers.earliest()
      if (due > atNanos || due === Infinity || moment.hasEnded) return
      if (due > moment.nowNanos) moment.nowNanos = due
      moment.inputOrdinal += 1
      timers.goOff(due, () => moment.hasEnded)
      this.freezes.endInput(this.firing !== null)
      if (moment.hasEnded || this.firing !== null || this.isEndless()) return
      circles ??= new Circles()
      circles.woke(
        this.memories.now,
        () => this.save(),
        (round) => this.goRound(round, atNanos)
      )
    }
  }

  /** Skips rounds of a circle up to a time. */
  private goRound({ before, untilNanos }: Round, atNanos: GuestNanos): void {
    const now = this.save()
    const roundNanos = passedNanos(before, now)
    const rounds = Math.floor((Math.min(atNanos, untilNanos - 1) - this.moment.nowNanos) / roundNanos)
    if (rounds > 0) this.memories.load(afterRounds(before, now, rounds))
    this.timers.refill()
  }

  /** Whether a timer went off too often. A policy that returns to an earlier state may wake itself forever. */
  private isEndless(): boolean {
    const { nowNanos: atNanos, policyName: policy } = this
    const { tooMuch } = this.timers
    if (tooMuch === null) return false
    const message = `expected ${tooMuch.expected}`
    this.fail({ _tag: "TriggerDefect", policy, trigger: tooMuch.owner.calledName, atNanos, message })
    return true
  }

  /** As {@link reach}, and notes the time itself. */
  time(atNanos: GuestNanos): void {
    this.freezes.beginInput()
    this.reach(atNanos)
    if (this.firing === null && !this.hasEnded && atNanos > this.nowNanos) this.moment.nowNanos = atNanos
  }

  /**
   * A probe has completed. The signal is ignored if the probe is no longer armed, or was armed again since. Returns false if a
   * timer that is due by then fires first, so that the signal has not been handled yet.
   */
  signal(signal: TriggerSignal): boolean {
    const { moment } = this
    this.freezes.beginInput()
    this.reach(Math.max(moment.nowNanos, signal.atNanos))
    if (this.hasEnded || this.firing !== null) return false
    const part = this.probes.get(signal.probe)
    if (part === undefined || !part.life.isArmed) return true
    if (signal.atNanos > moment.nowNanos) moment.nowNanos = signal.atNanos
    moment.inputOrdinal += 1
    part.onSignal(signal)
    this.freezes.endInput(this.firing !== null)
    return true
  }

  // --- for parts

  command(command: PolicyCommand): void {
    if (this.keepsCommands) this.commands.push(command)
  }

  fail(reason: TriggerReason): void {
    if (this.hasEnded) return
    this.failure = new TriggerError({ reason })
    this.moment.hasEnded = true
  }

  rootFired(fired: Fired): void {
    const { moment } = this
    const part = this.part(fired.by)
    this.firing = new Firing({
      policy: this.policyName,
      trigger: part?.calledName ?? this.policyName,
      path: part?.path ?? [this.policyName],
      index: moment.firedCount,
      armedAtNanos: fired.armedAtNanos,
      atNanos: moment.nowNanos,
      afterSeq: moment.lastSeq,
      cause: fired.cause,
      waitedFor: `${part?.waitedFor ?? ""}${fired.furtherWait}`,
      losers: this.progress(part),
      quiesce: fired.quiesce,
      slippageNanos: null
    })
    moment.firedCount += 1
    this.timers.refill()
    // A policy that repeats arms itself again before it returns from telling this; the others are over.
    moment.hasEnded = true
  }

  /** The root has armed itself again after a firing. */
  goOn(): void {
    this.moment.hasEnded = false
  }
}
