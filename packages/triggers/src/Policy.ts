/**
 * A trigger, built in, composed or plugged in: what every constructor of this package returns.
 *
 * @module
 */
import type {
  Firing,
  GuestEventKind,
  GuestNanos,
  GuestTimeline,
  MachineError,
  Trigger,
  TriggerError
} from "@stillpoint/core"
import { type Effect, Pipeable, type Schema, type Stream } from "effect"
import type { Part, Site } from "./automaton/Part.ts"
import type { Heard } from "./Heard.ts"
import { Automaton } from "./automaton/Automaton.ts"
import type { PolicyInput, PolicyState, PolicyStep } from "./automaton/PolicyStep.ts"
import { refuse } from "./PolicyError.ts"
import { awaitFiring, streamFirings } from "./deciding/livePolicy.ts"

/** The description of a trigger by its constructor. */
export interface PolicyShape {
  /** Readable name, such as `atHeartbeat(3)`. */
  readonly name: string
  /** The trigger as JSON, from which it can be made again. */
  readonly description: Schema.Json
  /** Its parts; none if absent. */
  readonly parts?: ReadonlyArray<Policy>
  /** Builds the trigger into an automaton. */
  readonly build: (site: Site) => Part
  /** The events that matter to it, for tests, if its description does not name them. */
  readonly hears?: ReadonlyArray<Heard>
  /** How `quiesce` wraps this trigger, if not in the usual way. */
  readonly quiesced?: (wrap: (policy: Policy) => Policy) => Policy
}

/** No policy that a person wrote comes near these; a generated or decoded one must exhaust neither the stack nor memory. */
const mostDepth = 90
const mostParts = 10_000

/**
 * A trigger or a composition of triggers: immutable, and can be armed any number of times.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onPreExec, Policy, precedence } from "@stillpoint/triggers"
 *
 * const policy: Policy = precedence([onPreExec(), afterGuestTime("7 seconds")])
 * console.log(policy.name) // precedence(onPreExec, afterGuestTime(7 s))
 * ```
 */
export class Policy extends Pipeable.Class implements Trigger {
  readonly name: string
  readonly description: Schema.Json
  /** Depth of nesting, and number of parts in all. */
  readonly depth: number
  readonly size: number
  /** Builds the policy into an automaton. For combinators. */
  readonly shape: PolicyShape
  /** An automaton that is not in use now. Kept, because building one takes longer than most timelines. */
  #spare: Automaton | undefined

  constructor(shape: PolicyShape) {
    super()
    const { name, parts = [] } = shape
    this.depth = 1 + parts.reduce((deepest, { depth }) => Math.max(deepest, depth), 0)
    this.size = parts.reduce((sum, { size }) => sum + size, 1)
    const cut = `${name.slice(0, 40)}…`
    if (this.depth > mostDepth)
      refuse("policy", `at most ${mostDepth} combinators in one another`, `${this.depth}: ${cut}`)
    if (this.size > mostParts) refuse("policy", `at most ${mostParts} parts`, `${this.size}: ${cut}`)
    this.shape = shape
    this.name = shape.name
    this.description = shape.description
  }

  get interest(): ReadonlyArray<GuestEventKind> {
    return this.borrow(({ channels }) => channels.interest)
  }

  get await(): Effect.Effect<Firing, TriggerError | MachineError, GuestTimeline> {
    return awaitFiring(this)
  }

  get firings(): Stream.Stream<Firing, TriggerError | MachineError, GuestTimeline> {
    return streamFirings(this)
  }

  override toString(): string {
    return this.name
  }

  /** The form in which property tests print it. */
  [Symbol.for("fast-check/toStringMethod")](): string {
    return JSON.stringify(this.description)
  }

  /** The policy as a part below another one. For combinators. */
  build(parent: Part, index = 0): Part {
    return this.shape.build({ automaton: parent.automaton, parent, index })
  }

  /** An automaton of its own for this policy, to be started. */
  instantiate(): Automaton {
    const automaton = new Automaton(this.name)
    automaton.finish(this.shape.build({ automaton, parent: null, index: 0 }))
    return automaton
  }

  /** Lends an automaton while a function runs; one that is in use is not lent again. */
  borrow<A>(use: (automaton: Automaton) => A): A {
    const automaton = this.#spare ?? this.instantiate()
    this.#spare = undefined
    try {
      return use(automaton)
    } finally {
      automaton.release()
      this.#spare = automaton
    }
  }

  /** Armed at a guest time, before every event: 0, the guest's first instruction, unless the policy joins later. */
  start(originNanos: GuestNanos): PolicyStep {
    return this.borrow((automaton) => {
      automaton.keepsCommands = true
      automaton.start(originNanos)
      return takeStep(automaton, [])
    })
  }

  /** Pure: same state and input, same step. An old state may be stepped again. */
  step(state: PolicyState, input: PolicyInput): PolicyStep {
    return this.borrow((automaton) => {
      automaton.keepsCommands = true
      automaton.load(state)
      const firings: Array<Firing> = []
      const tell = (): boolean => {
        switch (input._tag) {
          case "Event":
            return automaton.run([input.event], 0, 1) === 1
          case "Signal":
            return automaton.signal(input.signal)
          case "Time":
            automaton.time(input.atNanos)
            return automaton.firing === null
        }
      }
      while (!automaton.hasEnded && !tell()) {
        if (automaton.firing === null) break
        firings.push(automaton.firing)
        automaton.firing = null
      }
      return takeStep(automaton, firings)
    })
  }
}

/** Some policies as the parts below another one. For combinators. */
export const buildAll = (policies: ReadonlyArray<Policy>, parent: Part): ReadonlyArray<Part> =>
  policies.map((policy, index) => policy.build(parent, index))

const takeStep = (automaton: Automaton, firings: Array<Firing>): PolicyStep => {
  if (automaton.firing !== null) firings.push(automaton.firing)
  return {
    state: automaton.save(),
    firings,
    failure: automaton.failure,
    commands: automaton.commands.slice(),
    wakeAtNanos: automaton.hasEnded ? null : automaton.wakeAtNanos,
    stopAt: automaton.hasEnded ? [] : automaton.channels.listening
  }
}
