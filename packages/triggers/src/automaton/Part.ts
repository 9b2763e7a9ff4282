/**
 * One trigger or combinator of an armed policy, as the {@link Automaton} drives it.
 *
 * @module
 */
import type { GuestEvent, GuestEventKind, TriggerProgress, TriggerSignal } from "@stillpoint/core"
import { partCells } from "./cells.ts"
import type { Automaton } from "./Automaton.ts"

/** Where in an automaton a part is being built. */
export interface Site {
  readonly automaton: Automaton
  /** The part above; `null` for the root. */
  readonly parent: Part | null
  /** Place among the parts that the one above has. */
  readonly index: number
}

/** How far a part has got, as its status cell holds it. */
export const Status = {
  unarmed: 0,
  waiting: 1,
  fired: 2,
  expired: 3,
  failed: 4,
  quiescing: 5,
  overtaken: 6,
  abandoned: 7
} as const

const statusNames = ["unarmed", "waiting", "fired", "expired", "failed", "quiescing", "overtaken", "abandoned"] as const

/**
 * One trigger or combinator of an armed policy.
 *
 * All state is numbers in the cells of the automaton, and references in its objects, so that an automaton can be saved, loaded and
 * compared. An event that no part acts on allocates nothing, one that some part acts on no object, but for a time that V8 boxes
 * where it does not inline a call. A part fires at most once per arming; it is disarmed by that.
 */
export abstract class Part {
  readonly automaton: Automaton
  readonly parent: Part | null
  readonly index: number
  /** Number of the part in its automaton, from left to right, a combinator before its parts. */
  readonly id: number
  readonly name: string
  /** Names from the root to this part. */
  readonly path: ReadonlyArray<string>
  /** Distinguishes parts of the same names: `index.name` from the root, joined with `/`. */
  readonly key: string
  readonly kinds: ReadonlyArray<number>
  readonly base: number
  private readonly own: number

  /** `cells`: how many numbers of its own the part keeps. `kinds`: the events that it must be told while it is armed. */
  constructor(site: Site, name: string, cells: number, kinds: ReadonlyArray<GuestEventKind> = []) {
    this.automaton = site.automaton
    this.parent = site.parent
    this.index = site.index
    this.id = site.automaton.partCount
    this.name = name
    this.path = site.parent === null ? [name] : [...site.parent.path, name]
    this.key = site.parent === null ? name : `${site.parent.key}/${site.index}.${name}`
    this.base = site.automaton.allocateCells(partCells.own + cells)
    this.own = this.base + partCells.own
    this.kinds = site.automaton.register(this, kinds)
  }

  // --- cells

  protected cell(index: number): number {
    return this.automaton.cells[this.own + index] as number
  }

  protected setCell(index: number, value: number): void {
    this.automaton.cells[this.own + index] = value
  }

  get isArmed(): boolean {
    return this.automaton.cells[this.base + partCells.armed] === 1
  }

  get status(): number {
    return this.automaton.cells[this.base + partCells.status] as number
  }

  set status(status: number) {
    this.automaton.cells[this.base + partCells.status] = status
  }

  /** Guest time of the last arming. */
  get armedAtNanos(): number {
    return this.automaton.cells[this.base + partCells.armedAt] as number
  }

  /** Guest time up to which it watched: now, or when it was disarmed. What it tells of itself is as of then. */
  protected get watchedUntilNanos(): number {
    return this.isArmed ? this.automaton.now : (this.automaton.cells[this.base + partCells.disarmedAt] as number)
  }

  /** Whether the part was armed by the very input that is being handled: such an input is not for it. */
  get isArmedByThisInput(): boolean {
    return this.automaton.cells[this.base + partCells.armedOrdinal] === this.automaton.ordinal
  }

  // --- life

  /** Arms the part now. It sees inputs after the one that is being handled. */
  arm(): void {
    const { cells } = this.automaton
    if (cells[this.base + partCells.armed] === 0) {
      cells[this.base + partCells.armed] = 1
      this.automaton.listen(this.kinds, 1)
    }
    cells[this.base + partCells.status] = Status.waiting
    cells[this.base + partCells.armedAt] = this.automaton.now
    cells[this.base + partCells.armedOrdinal] = this.automaton.ordinal
    this.onArm()
  }

  /** Disarms the part and all below it. What it had reached remains to be read, until it is armed again. */
  disarm(): void {
    const { cells } = this.automaton
    if (cells[this.base + partCells.armed] === 0) return
    cells[this.base + partCells.armed] = 0
    cells[this.base + partCells.disarmedAt] = this.automaton.now
    this.automaton.listen(this.kinds, -1)
    this.onDisarm()
  }

  /** Disarms the part and gives it, and whatever below it still waits, a status that says why. */
  retire(status: number): void {
    for (const child of this.children) child.retire(status)
    if (this.status === Status.waiting || this.status === Status.quiescing) this.status = status
    this.disarm()
  }

  /** Disarms the part and all below it, because a higher one has fired; what waited for calm is overtaken. */
  overtake(): void {
    for (const child of this.children) child.overtake()
    if (this.status === Status.quiescing) this.status = Status.overtaken
    this.disarm()
  }

  /** Passes on the firing of the only part below, which may have armed itself again. */
  protected passOn(): void {
    if (this.children[0]?.isArmed === true) this.emit()
    else this.fire()
  }

  /** Runs code of a user; what it throws is the end of the policy, by name. */
  protected guard<A>(run: () => A): A | undefined {
    try {
      return run()
    } catch (cause) {
      this.automaton.fail({
        _tag: "TriggerDefect",
        policy: this.automaton.policyName,
        trigger: this.calledName,
        atNanos: this.automaton.now,
        message: cause instanceof Error ? cause.message : String(cause)
      })
      return undefined
    }
  }

  /** Fires: the cause stands in the automaton. Disarms first. */
  protected fire(): void {
    this.disarm()
    this.status = Status.fired
    this.emit()
  }

  /** Tells the part above that this one has fired, without disarming it. */
  protected emit(): void {
    if (this.children.length === 0) {
      this.automaton.cause.part = this
      this.automaton.cause.quiesceReport = null
    }
    if (this.parent === null) this.automaton.rootFired()
    else this.parent.childFired(this.index)
  }

  // --- what a part is

  /** Parts below. */
  readonly children: ReadonlyArray<Part> = []

  protected abstract onArm(): void

  /** Clears timers and disarms what is below. */
  protected abstract onDisarm(): void

  /** Whether an event of one of its kinds is nothing to it: it may count it for its account, and change nothing else. */
  overlooks(_event: GuestEvent): boolean {
    return false
  }

  /** An event of one of its kinds, while armed, that it does not overlook. */
  onEvent(_event: GuestEvent): void {}

  /** A timer that the part has set is due. */
  onTimer(_timer: number): void {}

  /** The completion of the part's own probe. */
  onSignal(_signal: TriggerSignal): void {}

  /** A part below has fired. */
  childFired(_index: number): void {}

  /** A part below has fired except for a calm that it now waits for. */
  childPending(_index: number): void {}

  /** What the part waits for, in words. */
  abstract readonly waitedFor: string

  /** How far it has got, in words. */
  progress(): string {
    return ""
  }

  /** Guest time for which the guest is sure to stay as it is after the event that made the part fire; `null` for none. */
  get holdNanos(): number | null {
    return null
  }

  /** Whether the part stands for itself in an account of who won and who lost; combinators as a rule do not. */
  get isTrigger(): boolean {
    return this.children.length === 0
  }

  /** Whether its name is one that a user gave to all below it. */
  get givesName(): boolean {
    return false
  }

  /** The innermost name that a user gave it or something around it, or else its own. */
  get calledName(): string {
    if (this.givesName) return this.name
    for (let at = this.parent; at !== null; at = at.parent) if (at.givesName) return at.name
    return this.name
  }

  /** Whether a part above tells of it: a wait for calm, of what it waits after. */
  get isToldAbove(): boolean {
    for (let at = this.parent; at !== null; at = at.parent) if (at.isTrigger) return true
    return false
  }

  /** Its name in an account: the name that a user gave, and its own beside it where the name was given to several. */
  get toldName(): string {
    if (this.givesName) return this.name
    for (let at = this.parent; at !== null; at = at.parent)
      if (at.givesName) return at.triggerCount === 1 ? at.name : `${at.name} (${this.name})`
    return this.name
  }

  /** Number of triggers below, itself counted. */
  private get triggerCount(): number {
    return this.children.length === 0 ? 1 : this.children.reduce((sum, child) => sum + child.triggerCount, 0)
  }

  /** For an account of the policy. */
  account(): TriggerProgress {
    return {
      trigger: this.toldName,
      path: this.path,
      status: statusNames[this.status] ?? "unarmed",
      waitedFor: this.waitedFor,
      progress: this.status === Status.unarmed ? "" : this.progress()
    }
  }
}
