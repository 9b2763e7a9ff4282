/**
 * One trigger or combinator of an armed policy, as the {@link Automaton} drives it.
 *
 * @module
 */
import type { FiringCause, GuestEvent, GuestEventKind, TriggerProgress, TriggerSignal } from "@stillpoint/core"
import type { Automaton } from "./Automaton.ts"
import type { AutomatonPart, Life, Status } from "./AutomatonPart.ts"
import type { Channel } from "./Channel.ts"
import type { Correction, Fired } from "./Fired.ts"
import type { Timer } from "./Timers.ts"

/** The place in an automaton where a part is built. */
export interface Site {
  readonly automaton: Automaton
  /** The part above; `null` for the root. */
  readonly parent: Part | null
  /** Place among the parts that the one above has. */
  readonly index: number
}

/** For parts that remember nothing but how far they have got. */
export const nothing: Readonly<Record<never, never>> = {}

/**
 * One trigger or combinator of an armed policy.
 *
 * All its knowledge between two inputs is in its `life` and its `memory`, so that an automaton can be saved, loaded and compared.
 * A part fires at most once per arming, which disarms it.
 */
export abstract class Part<Memory extends object = object> implements AutomatonPart {
  readonly automaton: Automaton
  readonly parent: Part | null
  readonly index: number
  readonly id: number
  readonly name: string
  /** Names from the root to this part. */
  readonly path: ReadonlyArray<string>
  /** Distinguishes parts of the same names: `index.name` from the root, joined with `/`. */
  readonly key: string
  readonly life: Life
  /** The knowledge of a part of this kind between two inputs. */
  readonly memory: Memory
  private readonly channels: ReadonlyArray<Channel>

  /** `memory`: its initial memory. `kinds`: the events that it needs while it is armed. */
  constructor(site: Site, name: string, memory: Memory, kinds: ReadonlyArray<GuestEventKind> = []) {
    const { automaton, index, parent } = site
    this.automaton = automaton
    this.parent = parent
    this.index = index
    this.name = name
    this.path = parent === null ? [name] : [...parent.path, name]
    this.key = parent === null ? name : `${parent.key}/${index}.${name}`
    this.life = automaton.memories.make<Life>({
      isArmed: false,
      status: "unarmed",
      armedAtNanos: 0,
      disarmedAtNanos: 0,
      armedByOrdinal: -1
    })
    this.memory = automaton.memories.make(memory)
    this.id = automaton.register(this)
    this.channels = automaton.channels.watch(this, kinds)
  }

  get isArmed(): boolean {
    return this.life.isArmed
  }

  get status(): Status {
    return this.life.status
  }

  set status(status: Status) {
    this.life.status = status
  }

  /** Whether the present input armed the part: such an input is not for it. */
  get isArmedByThisInput(): boolean {
    return this.life.armedByOrdinal === this.automaton.ordinal
  }

  /** Guest time up to which it watched: now, or when it was disarmed. Its report is as of then. */
  get watchedUntilNanos(): number {
    return this.isArmed ? this.automaton.nowNanos : this.life.disarmedAtNanos
  }

  // --- life

  /** Arms the part now. It sees inputs after the present one. */
  arm(): void {
    const { automaton, life } = this
    if (!life.isArmed) {
      life.isArmed = true
      automaton.channels.listen(this.channels, 1)
    }
    life.status = "waiting"
    life.armedAtNanos = automaton.nowNanos
    life.armedByOrdinal = automaton.ordinal
    this.onArm()
  }

  /** Disarms the part and all below it. Its progress can still be read until it is armed again. */
  disarm(): void {
    if (!this.life.isArmed) return
    this.life.isArmed = false
    this.life.disarmedAtNanos = this.automaton.nowNanos
    this.automaton.channels.listen(this.channels, -1)
    this.onDisarm()
  }

  /** Disarms the part, and gives it and all waiting parts below it a status that states the reason. */
  retire(status: Status): void {
    for (const child of this.children) child.retire(status)
    if (this.status === "waiting" || this.status === "quiescing") this.status = status
    this.disarm()
  }

  /** Disarms the part and all below it, because a higher one has fired; a part that waited for calm is overtaken. */
  overtake(): void {
    for (const child of this.children) child.overtake()
    if (this.status === "quiescing") this.status = "overtaken"
    this.disarm()
  }

  // --- firing

  /** A trigger fires, on an event. Disarms first. */
  protected fireOn(event: GuestEvent, heldUntilNanos: number | null = null): void {
    this.fire({ ...this.firedBy({ _tag: "Event", event }), event, heldUntilNanos })
  }

  /** A trigger fires, on a timer or a probe. */
  protected fireBy(cause: FiringCause): void {
    this.fire(this.firedBy(cause))
  }

  private firedBy(cause: FiringCause): Fired {
    const { armedAtNanos } = this.life
    return { cause, by: this.id, armedAtNanos, event: null, heldUntilNanos: null, furtherWait: "", quiesce: null }
  }

  /** Fires. Disarms first. */
  protected fire(fired: Fired): void {
    this.disarm()
    this.status = "fired"
    this.tell(fired)
  }

  /** Passes on the firing of the only part below, which may have armed itself again. */
  protected passOn(fired: Fired): void {
    if (this.children[0]?.isArmed === true) this.tell(fired)
    else this.fire(fired)
  }

  /** Tells the part above that this one has fired, without disarming it. */
  protected tell(fired: Fired): void {
    if (this.parent === null) this.automaton.rootFired(fired)
    else this.parent.childFired(this.index, fired)
  }

  /** Runs a user's code; an exception ends the policy, with the part's name. */
  protected guard<A>(run: () => A): A | undefined {
    try {
      return run()
    } catch (cause) {
      this.isDefect(cause instanceof Error ? cause.message : String(cause))
      return undefined
    }
  }

  /** A user's code broke a rule, which ends the policy, with the part's name. */
  protected isDefect(message: string): void {
    const { automaton } = this
    automaton.fail({
      _tag: "TriggerDefect",
      policy: automaton.policyName,
      trigger: this.calledName,
      atNanos: automaton.nowNanos,
      message
    })
  }

  // --- the interface of a part

  /** Parts below. */
  readonly children: ReadonlyArray<Part> = []

  protected abstract onArm(): void

  /** Clears timers and disarms the parts below. */
  protected abstract onDisarm(): void

  overlooks(_event: GuestEvent): boolean {
    return false
  }

  /** An event of one of its kinds, while armed, that it does not overlook. */
  onEvent(_event: GuestEvent): void {}

  /** A timer that the part has set is due. */
  onTimer(_timer: Timer): void {}

  /** The completion of the part's own probe. */
  onSignal(_signal: TriggerSignal): void {}

  isUndoneBy(_event: GuestEvent, _firedOn: GuestEvent | null): boolean {
    return false
  }

  corrected(_event: GuestEvent, _firedOn: GuestEvent | null): Correction | null {
    return null
  }

  /** A part below has fired. */
  childFired(_index: number, _fired: Fired): void {}

  /** A part below has fired except for a calm that it now waits for. */
  childPending(_index: number): void {}

  /** The event that a part below had fired on is revoked: it waits for its trigger again. */
  childResumed(_index: number): void {}

  /** The awaited condition, in words. */
  abstract readonly waitedFor: string

  /** Its progress towards firing: a complete clause in the past tense. */
  progress(): string {
    return ""
  }

  /** Whether the part has its own entry in the report of winners and losers; most combinators do not. */
  get isTrigger(): boolean {
    return this.children.length === 0
  }

  /** Whether a part above reports for it, as a wait for calm does for its trigger. */
  get isToldAbove(): boolean {
    for (let at = this.parent; at !== null; at = at.parent) if (at.isTrigger) return true
    return false
  }

  /** Number of the trigger that its report is about: itself, or the one on whose behalf it waits. */
  get tellsOf(): number {
    return this.id
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

  /** Whether its name is one that a user gave to all below it. */
  get givesName(): boolean {
    return false
  }

  get calledName(): string {
    if (this.givesName) return this.name
    for (let at = this.parent; at !== null; at = at.parent) if (at.givesName) return at.name
    return this.name
  }

  /** Whether it has intermediate progress. */
  private get hasProgress(): boolean {
    return this.status !== "unarmed" && this.status !== "fired"
  }

  /** For an account of the policy. */
  account(): TriggerProgress {
    return {
      trigger: this.toldName,
      path: this.path,
      status: this.status,
      waitedFor: this.waitedFor,
      progress: this.hasProgress ? this.progress() : ""
    }
  }
}
