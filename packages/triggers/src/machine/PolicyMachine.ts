/**
 * The state machine that every policy is: numbers in cells, driven by events, guest time and signals.
 *
 * ```text
 * cells   header | listeners per kind | sensors | parts, each with its own | due times | times at which they were set
 * objects references that parts keep: events, states of plug-ins
 * ```
 *
 * Events go straight to the parts that wait for their kind, in the order of the policy read from left to right; a part that
 * fires tells the one above it. The cost of an event therefore does not grow with the depth of the policy.
 *
 * @module
 */
import {
  Firing,
  type FiringCause,
  type GuestEvent,
  type GuestEventKind,
  type GuestNanos,
  type QuiesceReport,
  type TriggerCommand,
  TriggerError,
  type TriggerProgress,
  type TriggerReason,
  type TriggerSignal
} from "@stillpoint/core"
import { eventKinds, kindNumber } from "./eventKinds.ts"
import { type MachinePart, partCells } from "./MachinePart.ts"
import { PolicyError } from "../PolicyError.ts"

/** No policy that a person wrote comes near it; a generated or decoded one must not exhaust memory. */
const maxParts = 10_000

/**
 * Timers in a row that bring neither a firing nor follow an event, before a policy is taken for one that would go on so for ever:
 * `debounce` or `filter` around what time alone makes fire again and again.
 */
const maxQuietTimers = 1000

const nowCell = 0
const ordinalCell = 1
const lastSeqCell = 2
const nextDueCell = 3
const firedCell = 4
const endedCell = 5
const quietSeqCell = 6
const quietTimersCell = 7
const listenersBase = 8
const kindCount = eventKinds.length
const sensorsBase = listenersBase + kindCount
const idleSinceCell = sensorsBase
const inFlightCell = sensorsBase + 1
const frozenCell = sensorsBase + 2
const partsBase = sensorsBase + 4

const idleKind = kindNumber("GuestIdle")
const busyKind = kindNumber("GuestBusy")
const ioStartedKind = kindNumber("IoStarted")
const ioSettledKind = kindNumber("IoSettled")
const quiescedKind = kindNumber("AgentQuiesced")
const thawedKind = kindNumber("AgentThawed")

/** What a cause register holds. */
export const CauseType = { none: 0, event: 1, timer: 2, signal: 3, override: 4 } as const

/** State of a machine between two inputs: an immutable value. */
export interface PolicyState {
  readonly cells: Float64Array
  readonly objects: ReadonlyArray<unknown>
}

/** What a policy asks of whoever runs it, as parts push it. */
export type MachineCommand = TriggerCommand

/** A quiesce that ended without calm and without a capture. */
export interface Abandonment {
  readonly trigger: string
  readonly quiesce: QuiesceReport
}

/** Something that a machine can be made of. */
export interface MachineSource {
  /** In words. */
  readonly name: string
  /** A machine of its own, to be started. */
  readonly instantiate: () => PolicyMachine
}

/** The machine of one policy. */
export class PolicyMachine {
  readonly policyName: string
  cells: Float64Array = new Float64Array(0)
  objects: Array<unknown> = []
  /** Kinds that some armed part waits for. */
  listening = 0
  /** Kinds that the machine itself must see to know whether the guest is idle, has I/O in flight, is frozen. */
  sensing = 0
  /** Set while one quiesce takes over from another and needs the agent itself: the workload then stays frozen. */
  keepsFrozen = false
  /** Whether commands are kept for a runner; a replay has no use for them. */
  keepsCommands = false
  readonly commands: Array<MachineCommand> = []
  firing: Firing | null = null
  failure: TriggerError | null = null

  // The cause of the firing that is travelling upwards.
  causeType: number = CauseType.none
  causeAt = 0
  causeSetAt = 0
  causeObject: unknown = null
  causePart: MachinePart | null = null
  /** Report of the quiesce that the firing went through; the outermost one counts. */
  quiesceReport: QuiesceReport | null = null

  /** Number of the kind of the event that is being handled. */
  eventKind = 0

  private readonly parts: Array<MachinePart> = []
  private readonly byKind: Array<Array<MachinePart>> = eventKinds.map(() => [])
  /** Where the cells of those parts begin. */
  private readonly basesByKind: Array<Array<number>> = eventKinds.map(() => [])
  private readonly probes = new Map<string, MachinePart>()
  private readonly timerOwners: Array<MachinePart> = []
  private cellCount = partsBase
  private objectCount = 1
  private dueBase = 0
  private root: MachinePart | null = null

  constructor(policyName: string) {
    this.policyName = policyName
  }

  // --- building

  allocateCells(count: number): number {
    const base = this.cellCount
    this.cellCount += count
    return base
  }

  allocateObjects(count: number): number {
    const base = this.objectCount
    this.objectCount += count
    return base
  }

  /** A timer of a part. Timers that are due at one nanosecond go off in the order in which they were allocated. */
  allocateTimer(owner: MachinePart): number {
    this.timerOwners.push(owner)
    return this.timerOwners.length - 1
  }

  register(part: MachinePart, kinds: ReadonlyArray<GuestEventKind>): ReadonlyArray<number> {
    this.parts.push(part)
    if (this.parts.length > maxParts) {
      throw new PolicyError({
        problems: [{ path: [], message: `expected a policy of at most ${maxParts} parts, found more` }]
      })
    }
    return this.watch(part, kinds)
  }

  /** Makes a part receive some kinds while it listens to them, which it says with {@link listen}. */
  watch(part: MachinePart, kinds: ReadonlyArray<GuestEventKind>): ReadonlyArray<number> {
    const numbers = kinds.map(kindNumber)
    for (const number of numbers) {
      this.byKind[number]?.push(part)
      this.basesByKind[number]?.push(part.base)
    }
    return numbers
  }

  registerProbe(key: string, part: MachinePart): void {
    this.probes.set(key, part)
  }

  /** Makes the machine keep track of something about the guest from its first event on. */
  sense(kinds: ReadonlyArray<GuestEventKind>): void {
    for (const kind of kinds) this.sensing |= 1 << kindNumber(kind)
  }

  finish(root: MachinePart): void {
    this.root = root
    this.dueBase = this.cellCount
    this.cells = new Float64Array(this.cellCount + 2 * this.timerOwners.length)
    this.objects = Array.from({ length: this.objectCount }, () => null)
  }

  // --- life

  /** Arms the policy anew, before every event. */
  start(originNanos: GuestNanos): void {
    const { cells } = this
    cells.fill(0)
    this.objects.fill(null)
    this.listening = 0
    this.firing = null
    this.failure = null
    this.commands.length = 0
    this.clearCause()
    for (let timer = 0; timer < this.timerOwners.length; timer++) cells[this.dueBase + timer] = Infinity
    cells[nowCell] = originNanos
    cells[lastSeqCell] = -1
    cells[nextDueCell] = Infinity
    cells[idleSinceCell] = -1
    this.causeType = CauseType.timer
    this.causeAt = originNanos
    this.causeSetAt = originNanos
    this.root?.arm()
  }

  save(): PolicyState {
    return { cells: this.cells.slice(), objects: this.objects.slice() }
  }

  load(state: PolicyState): void {
    this.cells.set(state.cells)
    for (let index = 0; index < this.objects.length; index++) this.objects[index] = state.objects[index]
    this.listening = 0
    for (let kind = 0; kind < kindCount; kind++) {
      if ((this.cells[listenersBase + kind] as number) > 0) this.listening |= 1 << kind
    }
    this.firing = null
    this.failure = null
    this.commands.length = 0
    this.clearCause()
  }

  /** Takes up what an input before produced, so that the next can produce its own. */
  clearOutcome(): void {
    this.firing = null
    this.commands.length = 0
  }

  // --- reading

  get now(): GuestNanos {
    return this.cells[nowCell] as number
  }

  /** Which input is being handled: differs between any two. */
  get ordinal(): number {
    return this.cells[ordinalCell] as number
  }

  get lastSeq(): number {
    return this.cells[lastSeqCell] as number
  }

  set lastSeq(seq: number) {
    this.cells[lastSeqCell] = seq
  }

  /** A lower bound of the next due time: no timer is due before it. */
  get nextDue(): GuestNanos {
    return this.cells[nextDueCell] as number
  }

  /** Whether the policy is over: it fired for the last time, or failed. */
  get hasEnded(): boolean {
    return this.cells[endedCell] === 1
  }

  get firedCount(): number {
    return this.cells[firedCell] as number
  }

  /** When the hart became idle, or -1 while it is busy. */
  get idleSince(): number {
    return this.cells[idleSinceCell] as number
  }

  /** What to say about a quiesce that was abandoned, if nothing else can fire. */
  get abandoned(): Abandonment | null {
    return this.objects[0] as Abandonment | null
  }

  set abandoned(abandonment: Abandonment | null) {
    this.objects[0] = abandonment
  }

  /** Number of device requests in flight. */
  get inFlight(): number {
    return this.cells[inFlightCell] as number
  }

  /** Whether the agent has frozen the workload. */
  get isFrozen(): boolean {
    return this.cells[frozenCell] === 1
  }

  /** Guest time of the earliest timer; `null` for none. */
  get wakeAtNanos(): GuestNanos | null {
    const due = this.earliestDue()
    return due === Infinity ? null : due
  }

  /** Whether nothing can make the policy fire any more. */
  get isExhausted(): boolean {
    if (this.hasEnded) return false
    if (this.listening !== 0 || this.earliestDue() !== Infinity) return false
    for (const probe of this.probes.values()) if (probe.isArmed) return false
    return true
  }

  /** Kinds that the policy must be told, now or later. */
  get interest(): number {
    let set = this.sensing
    for (let kind = 0; kind < kindCount; kind++) if ((this.byKind[kind]?.length ?? 0) > 0) set |= 1 << kind
    return set
  }

  /** The triggers of the policy and how far each has got, from left to right; without the one that `except` names. */
  progress(except: MachinePart | null = null): ReadonlyArray<TriggerProgress> {
    return this.parts.filter((part) => part.isTrigger && part !== except).map((part) => part.account())
  }

  // --- inputs

  /**
   * An event; timers that are due at its time or before go off first. If one of them brings a firing, the event has not been
   * handled yet, and the answer is false.
   */
  event(kind: number, event: GuestEvent): boolean {
    if (event.atNanos >= this.nextDue) {
      this.reach(event.atNanos)
      if (this.hasEnded || this.firing !== null) return false
    }
    const { cells } = this
    if (event.atNanos > (cells[nowCell] as number)) cells[nowCell] = event.atNanos
    cells[lastSeqCell] = event.seq
    if ((((this.listening | this.sensing) >>> kind) & 1) === 1) this.dispatch(kind, event)
    return true
  }

  /** Guest time has reached `atNanos`: what is due by then goes off, instant by instant, up to the first that brings a firing. */
  reach(atNanos: GuestNanos): void {
    const { cells, timerOwners, dueBase } = this
    for (;;) {
      const due = this.earliestDue()
      cells[nextDueCell] = due
      if (due > atNanos || due === Infinity || this.hasEnded) return
      if (due > (cells[nowCell] as number)) cells[nowCell] = due
      cells[ordinalCell] = (cells[ordinalCell] as number) + 1
      if (this.isRestless()) return
      for (let timer = 0; timer < timerOwners.length; timer++) {
        if ((cells[dueBase + timer] as number) > due) continue
        cells[dueBase + timer] = Infinity
        this.causeType = CauseType.timer
        this.causeAt = due
        this.causeSetAt = cells[dueBase + timerOwners.length + timer] as number
        this.causeObject = null
        ;(timerOwners[timer] as MachinePart).onTimer(timer)
        if (this.hasEnded) return
      }
      if (this.firing !== null) return
    }
  }

  /** Counts a timer that follows no event; whether there have been too many. */
  private isRestless(): boolean {
    const { cells } = this
    if (cells[quietSeqCell] !== cells[lastSeqCell]) {
      cells[quietSeqCell] = cells[lastSeqCell] as number
      cells[quietTimersCell] = 0
    }
    cells[quietTimersCell] = (cells[quietTimersCell] as number) + 1
    if (cells[quietTimersCell] <= maxQuietTimers) return false
    const message = `expected an event or a firing between timers, found ${maxQuietTimers} timers in a row: time alone makes it start again and again`
    this.fail({ _tag: "TriggerDefect", policy: this.policyName, trigger: this.policyName, atNanos: this.now, message })
    return true
  }

  /** As {@link reach}, and notes the time itself. */
  time(atNanos: GuestNanos): void {
    this.reach(atNanos)
    if (this.firing === null && !this.hasEnded && atNanos > this.now) this.cells[nowCell] = atNanos
  }

  /** A probe has completed. One that is no longer armed, or was armed again since, is not listened to. */
  signal(signal: TriggerSignal): boolean {
    if (signal.atNanos >= this.nextDue) {
      this.reach(signal.atNanos)
      if (this.hasEnded || this.firing !== null) return false
    }
    const part = this.probes.get(signal.probe)
    if (part === undefined || !part.isArmed) return true
    const { cells } = this
    if (signal.atNanos > (cells[nowCell] as number)) cells[nowCell] = signal.atNanos
    cells[ordinalCell] = (cells[ordinalCell] as number) + 1
    this.causeType = CauseType.signal
    this.causeAt = signal.atNanos
    this.causeObject = signal
    part.onSignal(signal)
    return true
  }

  /** The part with a number. */
  part(id: number): MachinePart | null {
    return this.parts[id] ?? null
  }

  get partCount(): number {
    return this.parts.length
  }

  /** Hands an event of interest to the parts that wait for it. */
  dispatch(kind: number, event: GuestEvent): void {
    const { cells } = this
    const ordinal = (cells[ordinalCell] as number) + 1
    cells[ordinalCell] = ordinal
    if (((this.sensing >>> kind) & 1) === 1) this.senseEvent(kind)
    if (((this.listening >>> kind) & 1) === 0) return
    this.eventKind = kind
    const parts = this.byKind[kind] as Array<MachinePart>
    const bases = this.basesByKind[kind] as Array<number>
    for (let index = 0; index < parts.length; index++) {
      // Read from the cells: looking at parts of many classes for no more than this would cost more than all the rest.
      const base = bases[index] as number
      if (cells[base + partCells.armed] !== 1 || cells[base + partCells.armedOrdinal] === ordinal) continue
      const part = parts[index] as MachinePart
      this.causeType = CauseType.event
      this.causeAt = cells[nowCell] as number
      this.causeObject = event
      part.onEvent(event)
      if (cells[endedCell] === 1) return
    }
  }

  private senseEvent(kind: number): void {
    const { cells } = this
    // A dropped or repeated event must not leave a count below zero or move the beginning of a rest.
    if (kind === idleKind) {
      if (cells[idleSinceCell] === -1) cells[idleSinceCell] = cells[nowCell] as number
    } else if (kind === busyKind) cells[idleSinceCell] = -1
    else if (kind === ioStartedKind) cells[inFlightCell] = (cells[inFlightCell] as number) + 1
    else if (kind === ioSettledKind) cells[inFlightCell] = Math.max(0, (cells[inFlightCell] as number) - 1)
    else if (kind === quiescedKind) cells[frozenCell] = 1
    else if (kind === thawedKind) cells[frozenCell] = 0
  }

  /**
   * Replays events from `from` on; stops after the first that brings a firing or a failure. Allocates nothing on the way.
   * Returns the index of the first event that has not been handled.
   */
  run(kinds: Uint8Array, times: Float64Array, events: ReadonlyArray<GuestEvent>, from: number): number {
    const { cells } = this
    const end = kinds.length
    const before = this.lastSeq
    let index = from
    for (; index < end; index++) {
      const at = times[index] as number
      if (at >= (cells[nextDueCell] as number)) {
        if (index > from) cells[lastSeqCell] = (events[index - 1] as GuestEvent).seq
        this.reach(at)
        if (this.firing !== null || cells[endedCell] === 1) return index
        if (this.listening === 0 && this.isExhausted) return index
      }
      const kind = kinds[index] as number
      if ((((this.listening | this.sensing) >>> kind) & 1) === 0) continue
      const event = events[index] as GuestEvent
      cells[lastSeqCell] = event.seq
      if (at > (cells[nowCell] as number)) cells[nowCell] = at
      this.dispatch(kind, event)
      if (this.firing !== null || cells[endedCell] === 1) return index + 1
      if (this.listening === 0 && this.isExhausted) return index + 1
    }
    if (end > from) {
      cells[lastSeqCell] = (events[end - 1] as GuestEvent).seq
      const last = times[end - 1] as number
      if (last > (cells[nowCell] as number)) cells[nowCell] = last
    } else cells[lastSeqCell] = before
    return end
  }

  // --- for parts

  listen(kinds: ReadonlyArray<number>, change: 1 | -1): void {
    const { cells } = this
    for (let index = 0; index < kinds.length; index++) {
      const kind = kinds[index] as number
      const count = (cells[listenersBase + kind] as number) + change
      cells[listenersBase + kind] = count
      if (count === 0) this.listening &= ~(1 << kind)
      else this.listening |= 1 << kind
    }
  }

  setTimer(timer: number, dueNanos: GuestNanos): void {
    const { cells } = this
    cells[this.dueBase + timer] = dueNanos
    cells[this.dueBase + this.timerOwners.length + timer] = cells[nowCell] as number
    if (dueNanos < (cells[nextDueCell] as number)) cells[nextDueCell] = dueNanos
  }

  /** When a timer is due; infinity for one that is not set. */
  timerDue(timer: number): GuestNanos {
    return this.cells[this.dueBase + timer] as number
  }

  clearTimer(timer: number): void {
    this.cells[this.dueBase + timer] = Infinity
  }

  /** Makes the deadline that has just come true the cause: for a timer that need not be waited for. */
  causeNow(): void {
    this.causeType = CauseType.timer
    this.causeAt = this.now
    this.causeSetAt = this.now
    this.causeObject = null
  }

  command(command: MachineCommand): void {
    if (this.keepsCommands) this.commands.push(command)
  }

  fail(reason: TriggerReason): void {
    if (this.hasEnded) return
    this.failure = new TriggerError({ reason })
    this.cells[endedCell] = 1
  }

  rootFired(): void {
    const fired = this.firedCount
    const part = this.causePart
    this.firing = this.describeFiring(part, fired)
    this.cells[firedCell] = fired + 1
    this.cells[quietTimersCell] = 0
    // A policy that repeats arms itself again before it returns from telling this; the others are over.
    this.cells[endedCell] = 1
    this.clearCause()
  }

  /** The root has armed itself again after a firing. */
  goOn(): void {
    this.cells[endedCell] = 0
  }

  cause(): FiringCause {
    switch (this.causeType) {
      case CauseType.event:
        return { _tag: "Event", event: this.causeObject as GuestEvent }
      case CauseType.signal:
        return { _tag: "Signal", signal: this.causeObject as TriggerSignal }
      case CauseType.override:
        return this.causeObject as FiringCause
      default:
        return { _tag: "Timer", atNanos: this.causeAt, setAtNanos: this.causeSetAt }
    }
  }

  /** Name of the trigger whose cause stands in the machine: the innermost that a user gave it, or its own. */
  triggerName(): string {
    return this.causePart?.calledName ?? this.policyName
  }

  private describeFiring(part: MachinePart | null, index: number): Firing {
    return new Firing({
      policy: this.policyName,
      trigger: this.triggerName(),
      path: part?.path ?? [this.policyName],
      index,
      armedAtNanos: part?.armedAtNanos ?? 0,
      atNanos: this.now,
      afterSeq: this.lastSeq,
      cause: this.cause(),
      waitedFor: part?.waitedFor ?? "",
      losers: this.progress(part),
      quiesce: this.quiesceReport,
      slippageNanos: null
    })
  }

  private clearCause(): void {
    this.causeType = CauseType.none
    this.causeObject = null
    this.causePart = null
    this.quiesceReport = null
  }

  private earliestDue(): number {
    const { cells, dueBase } = this
    const end = dueBase + this.timerOwners.length
    let earliest = Infinity
    for (let index = dueBase; index < end; index++) {
      const due = cells[index] as number
      if (due < earliest) earliest = due
    }
    return earliest
  }
}
