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
  TriggerError,
  TriggerInput,
  TriggerStep
} from "@stillpoint/core"
import { type Effect, Pipeable, type Schema, type Stream } from "effect"
import { kindsOf } from "./machine/eventKinds.ts"
import type { Part, Site } from "./machine/Part.ts"
import { PolicyMachine, type PolicyState } from "./machine/PolicyMachine.ts"
import { awaitFiring, streamFirings } from "./running/runPolicy.ts"

/** What a constructor says about the trigger that it makes. */
export interface PolicyShape {
  /** In words, e.g. `atHeartbeat(3)`. */
  readonly name: string
  /** The trigger as JSON, from which it can be made again. */
  readonly description: Schema.Json
  /** Guest time for which what made it fire is sure to last; `null` if nothing says so. */
  readonly holdNanos: GuestNanos | null
  /** Builds the trigger into a machine. */
  readonly build: (site: Site) => Part
  /** How a quiesce around the trigger is to be read, where that is not the plain way. */
  readonly quiesced?: (wrap: (policy: Policy) => Policy) => Policy
}

/**
 * A trigger or a composition of triggers: immutable, and armed as often as one likes.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onPreExec, Policy, precedence } from "@stillpoint/triggers"
 *
 * const policy: Policy = precedence([onPreExec(), afterGuestTime("7 seconds")])
 * console.log(policy.name) // precedence(onPreExec, afterGuestTime(7 s))
 * ```
 */
export class Policy extends Pipeable.Class implements Trigger<PolicyState> {
  readonly name: string
  readonly description: Schema.Json
  readonly holdNanos: GuestNanos | null
  /** How the policy is built into a machine. For combinators. */
  readonly shape: PolicyShape
  /** A machine that nobody uses now. Kept, because to build one takes longer than most timelines do. */
  #spare: PolicyMachine | undefined

  constructor(shape: PolicyShape) {
    super()
    this.shape = shape
    this.name = shape.name
    this.description = shape.description
    this.holdNanos = shape.holdNanos
  }

  get interest(): ReadonlyArray<GuestEventKind> {
    return this.borrow(({ interest }) => kindsOf(interest))
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

  /** How property tests print it. */
  [Symbol.for("fast-check/toStringMethod")](): string {
    return JSON.stringify(this.description)
  }

  /** A machine of its own for this policy, to be started. */
  instantiate(): PolicyMachine {
    const machine = new PolicyMachine(this.name)
    machine.finish(this.shape.build({ machine, parent: null, index: 0 }))
    return machine
  }

  /** Lends a machine for as long as a function runs; one that is lent already is not lent again. */
  borrow<A>(use: (machine: PolicyMachine) => A): A {
    const machine = this.#spare ?? this.instantiate()
    this.#spare = undefined
    try {
      return use(machine)
    } finally {
      machine.release()
      this.#spare = machine
    }
  }

  start(originNanos: GuestNanos): TriggerStep<PolicyState> {
    return this.borrow((machine) => {
      machine.keepsCommands = true
      machine.start(originNanos)
      return takeStep(machine, [])
    })
  }

  step(state: PolicyState, input: TriggerInput): TriggerStep<PolicyState> {
    return this.borrow((machine) => {
      machine.keepsCommands = true
      machine.load(state)
      const firings: Array<Firing> = []
      const tell = (): boolean => {
        switch (input._tag) {
          case "Event":
            return machine.run([input.event], 0, 1) === 1
          case "Signal":
            return machine.signal(input.signal)
          case "Time":
            machine.time(input.atNanos)
            return machine.firing === null
        }
      }
      while (!machine.hasEnded && !tell()) {
        if (machine.firing === null) break
        firings.push(machine.firing)
        machine.firing = null
      }
      return takeStep(machine, firings)
    })
  }
}

const takeStep = (machine: PolicyMachine, firings: Array<Firing>): TriggerStep<PolicyState> => {
  if (machine.firing !== null) firings.push(machine.firing)
  return {
    state: machine.save(),
    firings,
    failure: machine.failure,
    commands: machine.commands.slice(),
    wakeAtNanos: machine.hasEnded ? null : machine.wakeAtNanos,
    stopAt: machine.hasEnded ? [] : kindsOf(machine.listening)
  }
}
