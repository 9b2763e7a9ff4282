import type { GuestEvent, GuestEventKind, GuestNanos } from "@stillpoint/core"
import { Schema } from "effect"
import { Part, type Site } from "../automaton/Part.ts"
import type { Heard } from "../Heard.ts"
import { Policy } from "../Policy.ts"

/** What a trigger of one's own is told. */
export type PluginInput =
  | { readonly _tag: "Event"; readonly event: GuestEvent }
  /** The time that it asked to be woken at has come. */
  | { readonly _tag: "Time"; readonly atNanos: GuestNanos }

/** What a trigger of one's own answers. */
export interface PluginStep<S> {
  readonly state: S
  /** Whether it fires on this. */
  readonly fires?: boolean
  /** Guest time to be woken at, later than now; none if absent. The answer to every input says it anew. */
  readonly wakeAtNanos?: GuestNanos | null
}

/** A pure trigger as a package publishes it. */
export interface TriggerDefinition<A, S, I extends Schema.Json = Schema.Json> {
  /** Package and name, e.g. `acme/disk-quiet`: what JSON says. */
  readonly name: string
  /** Its configuration, in memory and as JSON. */
  readonly config: Schema.Codec<A, I>
  /** Kinds of events that it must be told. */
  readonly interest: (config: A) => ReadonlyArray<GuestEventKind>
  /**
   * The events that matter to it, for `lawsOf`, which makes timelines of them. Without it, a trigger on custom events hears none
   * that is for it, and its laws fail for want of a firing.
   */
  readonly hears?: (config: A) => ReadonlyArray<Heard>
  /** What it waits for, in words. */
  readonly waitedFor: (config: A) => string
  /** Armed at a guest time. */
  readonly start: (config: A, atNanos: GuestNanos) => PluginStep<S>
  /** One input after its arming. Pure: an old state may be stepped again. */
  readonly step: (state: S, input: PluginInput, config: A) => PluginStep<S>
  /** How far it has got, in words. */
  readonly progress?: (state: S, config: A) => string
}

/** A published pure trigger: call it to make one, give it to a registry to read one. */
export interface DefinedTrigger<A> {
  (config: A): Policy
  readonly definition: TriggerDefinition<A, unknown>
}

/**
 * Defines a trigger as a pure state machine. It composes like a built-in one, obeys the same order of inputs (timers of a
 * nanosecond before its events), and is replayed, explained and serialized with the policy that it is part of.
 *
 * What it throws, and a time to be woken at that is not later than now, end the policy with the reason `TriggerDefect`.
 * `@stillpoint/triggers/testing` holds its laws: `lawsOf(trigger)` runs them all.
 *
 * @example
 * ```ts
 * import { defineTrigger, Trigger } from "@stillpoint/triggers"
 * import { Result, Schema } from "effect"
 *
 * const afterLines = defineTrigger({
 *   name: "acme/after-lines",
 *   config: Schema.Struct({ lines: Schema.Natural }),
 *   interest: () => ["SerialLine"],
 *   waitedFor: ({ lines }) => `${lines} lines on the console`,
 *   start: () => ({ state: 0 }),
 *   step: (seen, _input, { lines }) => ({ state: seen + 1, fires: seen + 1 >= lines })
 * })
 *
 * const decision = Trigger.replay(afterLines({ lines: 1 }), { events: [{ _tag: "SerialLine", seq: 0, atNanos: 5, port: 0, text: "hi" }] })
 * console.log(Result.getOrThrow(decision).atNanos) // 5
 * ```
 */
export const defineTrigger = <A, S, I extends Schema.Json>(
  definition: TriggerDefinition<A, S, I>
): DefinedTrigger<A> => {
  const encode = Schema.encodeSync(definition.config)
  const erased = definition as unknown as TriggerDefinition<A, unknown>
  const make = (config: A): Policy =>
    new Policy({
      name: definition.name,
      description: { trigger: "plugin", name: definition.name, config: encode(config) },
      holdNanos: null,
      ...(definition.hears === undefined ? {} : { hears: definition.hears(config) }),
      build: (site) => new Plugin(site, erased, config)
    })
  return Object.assign(make, { definition: erased })
}

class Plugin<A> extends Part {
  readonly waitedFor: string
  private readonly definition: TriggerDefinition<A, unknown>
  private readonly config: A
  private readonly object: number
  private readonly timer: number

  constructor(site: Site, definition: TriggerDefinition<A, unknown>, config: A) {
    super(site, definition.name, 0, [...new Set(definition.interest(config))])
    this.definition = definition
    this.config = config
    this.waitedFor = definition.waitedFor(config)
    this.object = site.automaton.allocateObjects(1)
    this.timer = site.automaton.timers.allocate(this)
  }

  protected onArm(): void {
    const step = this.guard(() => this.definition.start(this.config, this.automaton.now))
    if (step?.fires === true) this.automaton.causeNow()
    this.follow(step)
  }

  protected onDisarm(): void {
    this.automaton.timers.clear(this.timer)
  }

  override onEvent(event: GuestEvent): void {
    this.tell({ _tag: "Event", event })
  }

  override onTimer(): void {
    this.tell({ _tag: "Time", atNanos: this.automaton.now })
  }

  private tell(input: PluginInput): void {
    this.follow(this.guard(() => this.definition.step(this.automaton.objects[this.object], input, this.config)))
  }

  private follow(step: PluginStep<unknown> | undefined): void {
    if (step === undefined) return
    const { automaton } = this
    automaton.objects[this.object] = step.state
    automaton.timers.clear(this.timer)
    if (step.fires === true) {
      this.fire()
      return
    }
    const wake = step.wakeAtNanos ?? null
    if (wake === null) return
    // A time that has passed would wake it again and again within one instant.
    if (!Number.isSafeInteger(wake) || wake <= automaton.now) {
      this.guard(() => {
        throw new Error(`expected a guest time later than ${automaton.now} ns to be woken at, found ${wake}`)
      })
      return
    }
    automaton.timers.set(this.timer, wake)
  }

  override progress(): string {
    const { progress } = this.definition
    if (progress === undefined) return ""
    // An account is given when a policy is over: what it throws must not hide why.
    try {
      return progress(this.automaton.objects[this.object], this.config)
    } catch {
      return ""
    }
  }
}
