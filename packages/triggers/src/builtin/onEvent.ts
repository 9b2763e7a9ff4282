import type { GuestEvent, GuestEventKind, GuestNanos } from "@stillpoint/core"
import { requireEventKind } from "../argument.ts"
import type { Correction } from "../automaton/Fired.ts"
import type { GuestCondition } from "../automaton/GuestCondition.ts"
import { Part, type Site } from "../automaton/Part.ts"
import type { Heard } from "../Heard.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires at the first event of a kind: `onEvent(k)(a) = min { e.at | e after a, e is a k }`.
 *
 * - *Same instant*: of several such events, the one with the lowest `seq`.
 * - *Already true at arming*: an event at or before the arming does not count.
 * - *Guest ends first*: never fires. `onEvent("GuestHalted")` fires on the end itself.
 *
 * @example
 * ```ts
 * import { onEvent } from "@stillpoint/triggers"
 *
 * console.log(onEvent("AgentReady").name) // onEvent(AgentReady)
 * ```
 */
export const onEvent = (kind: GuestEventKind): Policy => {
  requireEventKind("onEvent", kind)
  return eventPolicy({
    name: `onEvent(${kind})`,
    description: { trigger: "onEvent", kind },
    kinds: [kind],
    waitedFor: `an event ${kind}`,
    accepts: acceptAll
  })
}

/** Accepts every event. */
export const acceptAll = (_event: GuestEvent): boolean => true

/** The parameters of {@link eventPolicy}. */
export interface EventTrigger {
  readonly name: string
  readonly description: Policy["description"]
  readonly kinds: ReadonlyArray<GuestEventKind>
  readonly waitedFor: string
  /** Whether an event of one of the kinds matches. Pure. */
  readonly accepts: (event: GuestEvent) => boolean
  /** Guest time for which the guest certainly holds its workload after the event; `null` for none. */
  readonly holdNanos?: (event: GuestEvent) => number | null
  readonly hears?: ReadonlyArray<Heard>
  /** The event that makes it true at the arming already; absent if only later events count. */
  readonly standing?: (guest: GuestCondition) => GuestEvent | null
  /** Whether a later event revokes the event that it fired on: a wait for calm then waits for the trigger again. */
  readonly isUndoneBy?: (event: GuestEvent, firedOn: GuestEvent | null, guest: GuestCondition) => boolean
  /** Whether a later event describes its cause better: a wait for calm then begins again, as if it had fired on that event. */
  readonly isCorrectedBy?: (event: GuestEvent, firedOn: GuestEvent | null) => boolean
}

/** A trigger that fires at the first event of some kinds that a predicate accepts: the base of those on single events. */
export const eventPolicy = (trigger: EventTrigger): Policy =>
  new Policy({
    name: trigger.name,
    description: trigger.description,
    ...(trigger.hears === undefined ? {} : { hears: trigger.hears }),
    build: (site) => new OnEvent(site, trigger)
  })

/** The part behind {@link eventPolicy}. */
export class OnEvent extends Part<{ others: number }> {
  readonly waitedFor: string
  private readonly trigger: EventTrigger

  constructor(site: Site, trigger: EventTrigger) {
    super(site, trigger.name, { others: 0 }, trigger.kinds)
    this.trigger = trigger
    if (trigger.standing !== undefined) site.automaton.channels.follow(trigger.kinds)
    this.waitedFor = trigger.waitedFor
  }

  protected onArm(): void {
    this.memory.others = 0
    const standing = this.trigger.standing?.(this.automaton.guest) ?? null
    if (standing !== null) this.onEvent(standing)
  }

  protected onDisarm(): void {}

  override overlooks(event: GuestEvent): boolean {
    if (this.trigger.accepts(event)) return false
    this.memory.others += 1
    return true
  }

  override onEvent(event: GuestEvent): void {
    this.fireOn(event, this.heldUntilNanos(event))
  }

  private heldUntilNanos(event: GuestEvent): GuestNanos | null {
    const hold = this.trigger.holdNanos?.(event) ?? null
    return hold === null ? null : this.automaton.nowNanos + hold
  }

  override corrected(event: GuestEvent, firedOn: GuestEvent | null): Correction | null {
    const isBetter = this.trigger.isCorrectedBy?.(event, firedOn) ?? false
    return isBetter ? { event, heldUntilNanos: this.heldUntilNanos(event) } : null
  }

  override isUndoneBy(event: GuestEvent, firedOn: GuestEvent | null): boolean {
    return this.trigger.isUndoneBy?.(event, firedOn, this.automaton.guest) ?? false
  }

  override progress(): string {
    const { others } = this.memory
    if (others === 0) return ""
    const noun = this.trigger.kinds.every((kind) => kind === "SerialLine") ? "line" : "event"
    return `${others} ${noun}${others === 1 ? "" : "s"} had not matched`
  }
}
