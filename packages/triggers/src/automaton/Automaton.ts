/**
 * The state automaton that every policy is: numbers in cells, driven by events, guest time and signals.
 *
 * Its cells are laid out as `cells.ts` says; its objects are references that parts keep: events, states of plug-ins. Events go
 * straight to the parts that wait for their kind, in the order of the policy read from left to right; a part that fires tells
 * the one above it. The cost of an event therefore does not grow with the depth of the policy.
 *
 * @module
 */
import {
  Firing,
  type GuestEvent,
  type GuestEventKind,
  type GuestNanos,
  type QuiesceReport,
  TriggerError,
  type TriggerProgress,
  type TriggerReason,
  type TriggerSignal
} from "@stillpoint/core"
import { PolicyError } from "../PolicyError.ts"
import { Cause } from "./Cause.ts"
import { firstPartCell, headerCells, listenerCells, partCells } from "./cells.ts"
import { eventKinds, kindNumber, type KindSet, kindSet } from "./eventKinds.ts"
import { GuestSensors } from "./GuestSensors.ts"
import type { AutomatonPart } from "./AutomatonPart.ts"
import type { PolicyCommand, PolicyState } from "./PolicyStep.ts"
import { Timers } from "./Timers.ts"

// Constants of this module are part of the compiled code; imported ones would be loaded each time.
const {
  now: nowCell,
  ordinal: ordinalCell,
  lastSeq: lastSeqCell,
  nextDue: nextDueCell,
  fired: firedCell,
  ended: endedCell,
  quietSeq: quietSeqCell,
  quietInputs: quietInputsCell
} = headerCells
const { armed: armedCell, armedOrdinal: armedOrdinalCell } = partCells

/** Events that are looked at for their times before they are handled. */
const blockLength = 64

/** No policy that a person wrote comes near it; a generated or decoded one must not exhaust memory. */
const maxParts = 10_000

/**
 * Timers and probes in a row that bring neither a firing nor follow an event, before a policy is taken for one that would go on so
 * for ever: `debounce` or `filter` around what by itself fires again and again.
 */
const maxQuietInputs = 1000

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
  cells: Float64Array = new Float64Array(0)
  objects: Array<unknown> = []
  readonly timers = new Timers()
  readonly guest = new GuestSensors()
  readonly cause = new Cause()
  /** Kinds that some armed part waits for. */
  readonly listening: KindSet = kindSet([])
  /** How many kinds that are. */
  private listenedKinds = 0
  /** Set while one quiesce takes over from another and needs the agent itself: the workload then stays frozen. */
  keepsFrozen = false
  /** Whether commands are kept for a runner; a replay has no use for them. */
  keepsCommands = false
  readonly commands: Array<PolicyCommand> = []
  firing: Firing | null = null
  failure: TriggerError | null = null

  private readonly parts: Array<AutomatonPart> = []
  private readonly byKind: Array<Array<AutomatonPart>> = eventKinds.map(() => [])
  /** Where the cells of those parts begin. */
  private readonly basesByKind: Array<Array<number>> = eventKinds.map(() => [])
  private readonly probes = new Map<string, AutomatonPart>()
  private cellCount = firstPartCell
  private objectCount = 1
  private root: AutomatonPart | null = null

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

  register(part: AutomatonPart, kinds: ReadonlyArray<GuestEventKind>): ReadonlyArray<number> {
    this.parts.push(part)
    if (this.parts.length > maxParts) {
      throw new PolicyError({
        problems: [{ path: [], message: `expected a policy of at most ${maxParts} parts, found more` }]
      })
    }
    return this.watch(part, kinds)
  }

  /** Makes a part receive some kinds while it listens to them, which it says with {@link listen}. */
  watch(part: AutomatonPart, kinds: ReadonlyArray<GuestEventKind>): ReadonlyArray<number> {
    const numbers = kinds.map(kindNumber)
    for (const number of numbers) {
      this.byKind[number]?.push(part)
      this.basesByKind[number]?.push(part.base)
    }
    return numbers
  }

  registerProbe(key: string, part: AutomatonPart): void {
    this.probes.set(key, part)
  }

  finish(root: AutomatonPart): void {
    this.root = root
    this.cells = new Float64Array(this.cellCount + this.timers.cellCount)
    this.timers.place(this.cells, this.cellCount)
    this.guest.place(this.cells)
    this.cause.place(this.cells)
    this.objects = Array.from({ length: this.objectCount }, () => null)
  }

  // --- life

  /** Arms the policy anew, before every event. */
  start(originNanos: GuestNanos): void {
    const { cells } = this
    cells.fill(0)
    cells[nowCell] = originNanos
    cells[lastSeqCell] = -1
    this.timers.reset()
    this.guest.reset()
    this.objects.fill(null)
    this.forget()
    this.cause.isTimer(originNanos, originNanos)
    this.root?.arm()
  }

  save(): PolicyState {
    return { cells: this.cells.slice(), objects: this.objects.slice() }
  }

  load(state: PolicyState): void {
    this.cells.set(state.cells)
    for (let index = 0; index < this.objects.length; index++) this.objects[index] = state.objects[index]
    this.forget()
    for (let kind = 0; kind < eventKinds.length; kind++) {
      if ((this.cells[listenerCells + kind] as number) > 0) {
        this.listening[kind] = 1
        this.listenedKinds += 1
      }
    }
  }

  /** Lets go of everything that it was told. */
  release(): void {
    this.keepsCommands = false
    this.objects.fill(null)
    this.forget()
  }

  /** Forgets all that is not in the cells and objects. */
  private forget(): void {
    this.listening.fill(0)
    this.listenedKinds = 0
    this.keepsFrozen = false
    this.failure = null
    this.clearOutcome()
    this.cause.clear()
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

  /** Which input is being handled: differs between any two that parts see. */
  get ordinal(): number {
    return this.cells[ordinalCell] as number
  }

  get lastSeq(): number {
    return this.cells[lastSeqCell] as number
  }

  /** Whether the policy is over: it fired for the last time, or failed. */
  get hasEnded(): boolean {
    return this.cells[endedCell] === 1
  }

  get firedCount(): number {
    return this.cells[firedCell] as number
  }

  /** What to say about a quiesce that was abandoned, if nothing else can fire. */
  get abandoned(): Abandonment | null {
    return this.objects[0] as Abandonment | null
  }

  set abandoned(abandonment: Abandonment | null) {
    this.objects[0] = abandonment
  }

  /** Guest time of the earliest timer; `null` for none. */
  get wakeAtNanos(): GuestNanos | null {
    const due = this.timers.earliest()
    return due === Infinity ? null : due
  }

  /** Whether nothing can make the policy fire any more. */
  get isExhausted(): boolean {
    if (this.hasEnded) return false
    if (this.listenedKinds > 0 || this.timers.earliest() !== Infinity) return false
    for (const probe of this.probes.values()) if (probe.isArmed) return false
    return true
  }

  /** Kinds that the policy must be told, now or later. */
  get interest(): KindSet {
    return kindSet(eventKinds.filter((_, kind) => this.guest.kinds[kind] === 1 || this.byKind[kind]?.length !== 0))
  }

  /** The triggers of the policy and how far each has got, from left to right; without the one that `except` names. */
  progress(except: AutomatonPart | null = null): ReadonlyArray<TriggerProgress> {
    return this.parts
      .filter((part) => part.isTrigger && !part.isToldAbove && part !== except)
      .map((part) => part.account())
  }

  /** The part with a number. */
  part(id: number): AutomatonPart | null {
    return this.parts[id] ?? null
  }

  get partCount(): number {
    return this.parts.length
  }

  /** Name of the trigger whose cause stands in the automaton. */
  triggerName(): string {
    return this.cause.part?.calledName ?? this.policyName
  }

  // --- inputs

  /**
   * Handles events from `from` on; stops after the first that brings a firing or a failure, or after which nothing can any more.
   * Allocates nothing on the way. Returns the index of the first event that has not been handled: timers that are due at an
   * event's time or before it go off first, so that it may be one that a timer's firing came before.
   *
   * Most events matter to nobody, and reading them from memory is what takes time: their times are read ahead, a block at a
   * time, without anything in between that would make the processor wait.
   */
  run(events: ReadonlyArray<GuestEvent>, from: number, to: number): number {
    const { byKind, cells, guest, listening } = this
    const sensed = guest.kinds
    let index = from
    while (index < to) {
      const due = cells[nextDueCell] as number
      const end = endOfBlock(events, index, Math.min(to, index + blockLength), cells)
      if (end === index) {
        if (index > from) cells[lastSeqCell] = (events[index - 1] as GuestEvent).seq
        this.reach(Math.max(cells[nowCell] as number, (events[index] as GuestEvent).atNanos))
        if (this.isOver()) return index
        continue
      }
      while (index < end) {
        const event = events[index++] as GuestEvent
        const kind = kindNumber(event._tag)
        if (sensed[kind] === 1) {
          this.pass(event)
          guest.take(kind)
        }
        if (listening[kind] === 0) continue
        const parts = byKind[kind] as Array<AutomatonPart>
        // A part that is the only one for a kind is armed if anyone listens to it.
        if (parts.length === 1 && (parts[0] as AutomatonPart).overlooks(event)) continue
        this.pass(event)
        if (!this.dispatch(kind, event)) continue
        if (this.isOver()) return index
        if ((cells[nextDueCell] as number) < due) break
      }
      this.pass(events[index - 1] as GuestEvent)
    }
    if (to > from) cells[lastSeqCell] = (events[to - 1] as GuestEvent).seq
    return to
  }

  /** Guest time goes on to an event; never back: one that comes late happens now. */
  private pass({ atNanos }: GuestEvent): void {
    if (atNanos > (this.cells[nowCell] as number)) this.cells[nowCell] = atNanos
  }

  private isOver(): boolean {
    return this.firing !== null || this.cells[endedCell] === 1 || (this.listenedKinds === 0 && this.isExhausted)
  }

  /** Hands an event to the parts that wait for its kind; answers whether any of them did not overlook it. */
  private dispatch(kind: number, event: GuestEvent): boolean {
    const { cause, cells } = this
    const parts = this.byKind[kind] as Array<AutomatonPart>
    const bases = this.basesByKind[kind] as Array<number>
    let ordinal = -1
    for (let index = 0; index < parts.length; index++) {
      // Read from the cells: looking at parts of many classes for no more than this would cost more than all the rest.
      const base = bases[index] as number
      if (cells[base + armedCell] !== 1 || cells[base + armedOrdinalCell] === ordinal) continue
      const part = parts[index] as AutomatonPart
      if (part.overlooks(event)) continue
      if (ordinal === -1) {
        ordinal = (cells[ordinalCell] as number) + 1
        cells[ordinalCell] = ordinal
        cells[lastSeqCell] = event.seq
      }
      cause.isEvent(event)
      part.onEvent(event)
      if (cells[endedCell] === 1) return true
    }
    return ordinal !== -1
  }

  /** Guest time has reached `atNanos`: what is due by then goes off, instant by instant, up to the first that brings a firing. */
  reach(atNanos: GuestNanos): void {
    const { cells, timers } = this
    for (;;) {
      const due = timers.earliest()
      cells[nextDueCell] = due
      if (due > atNanos || due === Infinity || this.hasEnded) return
      if (due > (cells[nowCell] as number)) cells[nowCell] = due
      cells[ordinalCell] = (cells[ordinalCell] as number) + 1
      if (this.isRestless()) return
      for (let timer = 0; timer < timers.count; timer++) {
        if (timers.due(timer) > due) continue
        timers.clear(timer)
        this.cause.isTimer(due, timers.setAt(timer))
        timers.owner(timer).onTimer(timer)
        if (this.hasEnded) return
      }
      if (this.firing !== null) return
    }
  }

  /** Counts a timer or a probe's completion that follows no event; whether there have been too many. */
  private isRestless(): boolean {
    const { cells } = this
    if (cells[quietSeqCell] !== cells[lastSeqCell]) {
      cells[quietSeqCell] = cells[lastSeqCell] as number
      cells[quietInputsCell] = 0
    }
    cells[quietInputsCell] = (cells[quietInputsCell] as number) + 1
    if ((cells[quietInputsCell] as number) <= maxQuietInputs) return false
    const message = `expected an event or a firing between timers and probes, found ${maxQuietInputs} in a row: something makes itself start again and again`
    this.fail({ _tag: "TriggerDefect", policy: this.policyName, trigger: this.policyName, atNanos: this.now, message })
    return true
  }

  /** As {@link reach}, and notes the time itself. */
  time(atNanos: GuestNanos): void {
    this.reach(atNanos)
    if (this.firing === null && !this.hasEnded && atNanos > this.now) this.cells[nowCell] = atNanos
  }

  /**
   * A probe has completed. One that is no longer armed, or was armed again since, is not listened to. If a timer that is due by
   * then brings a firing, the signal has not been handled yet, and the answer is false.
   */
  signal(signal: TriggerSignal): boolean {
    const { cells } = this
    if (signal.atNanos >= (cells[nextDueCell] as number)) {
      this.reach(signal.atNanos)
      if (this.hasEnded || this.firing !== null) return false
    }
    const part = this.probes.get(signal.probe)
    if (part === undefined || !part.isArmed) return true
    if (signal.atNanos > (cells[nowCell] as number)) cells[nowCell] = signal.atNanos
    cells[ordinalCell] = (cells[ordinalCell] as number) + 1
    if (this.isRestless()) return true
    this.cause.isSignal(signal)
    part.onSignal(signal)
    return true
  }

  // --- for parts

  listen(kinds: ReadonlyArray<number>, change: 1 | -1): void {
    const { cells } = this
    for (let index = 0; index < kinds.length; index++) {
      const kind = kinds[index] as number
      const count = (cells[listenerCells + kind] as number) + change
      cells[listenerCells + kind] = count
      const isListened = count === 0 ? 0 : 1
      this.listenedKinds += isListened - (this.listening[kind] as number)
      this.listening[kind] = isListened
    }
  }

  /** Makes the deadline that has just come true the cause: for a timer that need not be waited for. */
  causeNow(): void {
    this.cause.isTimer(this.now, this.now)
  }

  command(command: PolicyCommand): void {
    if (this.keepsCommands) this.commands.push(command)
  }

  fail(reason: TriggerReason): void {
    if (this.hasEnded) return
    this.failure = new TriggerError({ reason })
    this.cells[endedCell] = 1
  }

  rootFired(): void {
    const fired = this.firedCount
    this.firing = this.describeFiring(this.cause.part, fired)
    this.cells[firedCell] = fired + 1
    this.cells[quietInputsCell] = 0
    // A policy that repeats arms itself again before it returns from telling this; the others are over.
    this.cells[endedCell] = 1
    this.cause.clear()
  }

  /** The root has armed itself again after a firing. */
  goOn(): void {
    this.cells[endedCell] = 0
  }

  private describeFiring(part: AutomatonPart | null, index: number): Firing {
    return new Firing({
      policy: this.policyName,
      trigger: this.triggerName(),
      path: part?.path ?? [this.policyName],
      index,
      armedAtNanos: part?.armedAtNanos ?? 0,
      atNanos: this.now,
      afterSeq: this.lastSeq,
      cause: this.cause.toFiringCause(),
      waitedFor: part?.waitedFor ?? "",
      losers: this.progress(part),
      quiesce: this.cause.quiesceReport,
      slippageNanos: null
    })
  }
}

/**
 * Where the events end, from `from` on, among which no timer is due and time does not go back; `from` if a timer is due at once.
 * Takes the cells and not the times in them: a time that is handed over is an object where the call is not compiled away.
 */
const endOfBlock = (events: ReadonlyArray<GuestEvent>, from: number, to: number, cells: Float64Array): number => {
  const due = cells[nextDueCell] as number
  let latest = (events[from] as GuestEvent).atNanos
  if (latest >= due || (cells[nowCell] as number) >= due) return from
  let index = from + 1
  for (; index < to; index++) {
    const { atNanos } = events[index] as GuestEvent
    if (atNanos < latest || atNanos >= due) break
    latest = atNanos
  }
  return index
}
