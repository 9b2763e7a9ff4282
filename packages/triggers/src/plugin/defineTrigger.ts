import { describeValue } from "@stillpoint/core"
import type { FiringCause, GuestEvent, GuestEventKind, GuestNanos } from "@stillpoint/core"
import { Schema } from "effect"
import { optional, requireAll, requireFunction, requireOptions, requireSchema, requireText } from "../argument.ts"
import { eventKinds } from "../automaton/eventKinds.ts"
import { Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import type { Heard } from "../Heard.ts"
import { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { encodeConfig } from "./encodeConfig.ts"

/** The input of a custom trigger. */
export type PluginInput =
  | { readonly _tag: "Event"; readonly event: GuestEvent }
  /** The requested time has come. */
  | { readonly _tag: "Time"; readonly atNanos: GuestNanos }

/** The answer of a custom trigger. */
export interface PluginStep<S> {
  readonly state: S
  /** Whether it fires on this input. */
  readonly fires?: boolean
  /** Guest time at which to be woken, later than now; none if absent. Each answer replaces the previous request. */
  readonly wakeAtNanos?: GuestNanos | null
}

/** The definition of a pure trigger. */
export interface TriggerDefinition<A, S, I extends Schema.Json = Schema.Json> {
  /** Package and name, such as `acme/disk-quiet`, as used in JSON. */
  readonly name: string
  /** Its configuration, in memory and as JSON. */
  readonly config: Schema.Codec<A, I>
  /** Kinds of events that it must receive. */
  readonly interest: (config: A) => ReadonlyArray<GuestEventKind>
  /**
   * The events that matter to it; `lawsOf` generates timelines with them. Without it, the timelines contain no custom events that
   * concern the trigger, and its laws fail for lack of a firing.
   */
  readonly hears?: (config: A) => ReadonlyArray<Heard>
  /** The awaited condition, as a phrase for explanations. */
  readonly waitedFor: (config: A) => string
  /** The state at its arming at a guest time. */
  readonly start: (config: A, atNanos: GuestNanos) => PluginStep<S>
  /** The answer to one input. Pure: an old state may be stepped again. */
  readonly step: (state: S, input: PluginInput, config: A) => PluginStep<S>
  /** Its progress, as a phrase for explanations. */
  readonly progress?: (state: S, config: A) => string
}

/** A defined pure trigger: call it to make a policy, or give it to a registry to read policies from JSON. */
export interface DefinedTrigger<A> {
  (config: A): Policy
  readonly definition: TriggerDefinition<A, unknown>
}

/**
 * Defines a trigger as a pure automaton. It composes like a built-in trigger, sees inputs in the same order (at each nanosecond,
 * timers before events), and is replayed, explained and serialized with the policy that contains it.
 *
 * The policy ends with the reason `TriggerDefect` if the trigger throws, asks to be woken at a time that is not in the future, or is
 * woken too often: more than 2,000 times beyond once every 10 µs and a hundred times for each event.
 * `@stillpoint/triggers/testing` has its laws: `lawsOf(trigger)` returns them as tests.
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
  requireOptions("defineTrigger", definition, {
    name: requireText,
    config: requireSchema,
    interest: requireFunction,
    waitedFor: requireFunction,
    start: requireFunction,
    step: requireFunction,
    hears: optional(requireFunction),
    progress: optional(requireFunction)
  })
  const encode = encodeConfig(definition.name, definition.config)
  const erased = definition as unknown as TriggerDefinition<A, unknown>
  const make = (config: A): Policy => {
    const { name } = definition
    const encoded = encode(config)
    const told = tellOf(erased, config)
    return new Policy({
      name,
      description: { trigger: "plugin", name, config: encoded },
      ...(definition.hears === undefined ? {} : { hears: heardBy(erased, config) }),
      build: (site) => new Plugin(site, erased, config, told)
    })
  }
  return Object.assign(make, { definition: erased })
}

/** A definition's answers about a configuration. */
interface Told {
  readonly interest: ReadonlyArray<GuestEventKind>
  readonly waitedFor: string
}

const ask = <A>(
  definition: TriggerDefinition<A, unknown>,
  what: "interest" | "waitedFor" | "hears",
  config: A
): unknown => {
  try {
    return definition[what]?.(config)
  } catch (cause) {
    return refuse(
      `${definition.name}.${what}`,
      "an answer",
      `an error: ${cause instanceof Error ? cause.message : String(cause)}`
    )
  }
}

const isHeard = (one: unknown): one is Heard => {
  if (typeof one !== "object" || one === null) return false
  const { fields = {}, kind, payload, text = "" } = one as Partial<Record<keyof Heard, unknown>>
  return (
    eventKinds.some((each) => each === kind) &&
    typeof fields === "object" &&
    fields !== null &&
    (payload === undefined || Schema.isSchema(payload)) &&
    (typeof text === "string" || text instanceof RegExp)
  )
}

/** The events that matter to it, as it says. */
const heardBy = <A>(definition: TriggerDefinition<A, unknown>, config: A): ReadonlyArray<Heard> => {
  const heard = ask(definition, "hears", config)
  if (Array.isArray(heard) && heard.every(isHeard)) return heard
  return refuse(`${definition.name}.hears`, "an array of events, { kind, fields, payload, text }", describeValue(heard))
}

/** Asks a definition once, when the policy is built; exceptions and wrong answers are refused then. */
const tellOf = <A>(definition: TriggerDefinition<A, unknown>, config: A): Told => {
  const { name } = definition
  return requireAll({
    interest: () => {
      const interest = ask(definition, "interest", config)
      if (!Array.isArray(interest))
        return refuse(`${name}.interest`, "an array of event kinds", describeValue(interest))
      const unknown = interest.filter((kind) => !eventKinds.includes(kind))
      if (unknown.length > 0)
        refuse(`${name}.interest`, `kinds among ${eventKinds.join(", ")}`, unknown.map(describeValue).join(", "))
      return [...new Set(interest)] as ReadonlyArray<GuestEventKind>
    },
    waitedFor: () => {
      const waitedFor = ask(definition, "waitedFor", config)
      return typeof waitedFor === "string"
        ? waitedFor
        : refuse(`${name}.waitedFor`, "a sentence", describeValue(waitedFor))
    }
  })
}

interface Memory {
  state: unknown
  /** Number of steps: the actions of a plug-in may depend on the time, so it never returns to an earlier state. */
  steps: number
}

class Plugin<A> extends Part<Memory> {
  readonly waitedFor: string
  private readonly definition: TriggerDefinition<A, unknown>
  private readonly config: A
  private readonly timer: Timer

  constructor(site: Site, definition: TriggerDefinition<A, unknown>, config: A, told: Told) {
    super(site, definition.name, { state: null, steps: 0 }, told.interest)
    this.definition = definition
    this.config = config
    this.waitedFor = told.waitedFor
    this.timer = site.automaton.timers.make(this)
  }

  protected onArm(): void {
    const { automaton, config, definition, timer } = this
    timer.setIn(0)
    const cause = timer.cause()
    this.follow(
      this.guard(() => definition.start(config, automaton.nowNanos)),
      cause
    )
  }

  protected onDisarm(): void {
    this.timer.clear()
  }

  override onEvent(event: GuestEvent): void {
    this.follow(this.step({ _tag: "Event", event }), event)
  }

  override onTimer(): void {
    this.follow(this.step({ _tag: "Time", atNanos: this.automaton.nowNanos }), this.timer.cause())
  }

  private step(input: PluginInput): unknown {
    return this.guard(() => this.definition.step(this.memory.state, input, this.config))
  }

  private follow(answer: unknown, on: GuestEvent | FiringCause): void {
    const { automaton, timer } = this
    if (automaton.failure !== null) return
    // Read once, and guarded: the answer may be a proxy or have getters.
    const step = this.guard(() => readStep(answer))
    if (step === undefined) return
    this.memory.state = step.state
    this.memory.steps += 1
    timer.clear()
    if (step.fires === true) {
      if ("seq" in on) this.fireOn(on)
      else this.fireBy(on)
      return
    }
    const wake = step.wakeAtNanos ?? null
    if (wake === null) return
    // A time that has passed would wake it again and again within one instant.
    if (!Number.isSafeInteger(wake) || wake <= automaton.nowNanos) {
      this.isDefect(`expected a guest time later than ${automaton.nowNanos} ns to be woken at, found ${wake}`)
      return
    }
    timer.setFor(wake)
  }

  override progress(): string {
    // An account is given when a policy is over: what goes wrong here must not hide why.
    try {
      const words: unknown = this.definition.progress?.(this.memory.state, this.config)
      return typeof words === "string" ? words : ""
    } catch {
      return ""
    }
  }
}

/** A step, its parts read once. Throws if it is none. */
const readStep = (answer: unknown): PluginStep<unknown> => {
  const isObject = typeof answer === "object" && answer !== null && "state" in answer
  const { fires, state, wakeAtNanos } = (isObject ? answer : {}) as Record<keyof PluginStep<unknown>, unknown>
  const isWake = wakeAtNanos === undefined || wakeAtNanos === null || typeof wakeAtNanos === "number"
  if (!isObject || (fires !== undefined && typeof fires !== "boolean") || !isWake) {
    throw new TypeError(`expected a step, { state, fires, wakeAtNanos }, found ${describeValue(answer)}`)
  }
  return { state, fires: fires === true, wakeAtNanos: wakeAtNanos ?? null }
}
