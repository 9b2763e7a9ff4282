/**
 * A policy one input at a time: its inputs and its results.
 *
 * A policy is a pure automaton over three kinds of input: guest events, guest time that has been reached, and
 * signals. Inputs are totally ordered: by guest time; at one nanosecond timers come before events and signals; events
 * and signals in the order in which the guest made them and the policy took them in. All timers that are due at one
 * nanosecond are one input.
 *
 * @module
 */
import type { Firing, GuestEvent, GuestEventKind, GuestNanos, TriggerError, TriggerSignal } from "@stillpoint/core"
import type { Effect } from "effect"
import type { Memory } from "./Memory.ts"

/** The state of a policy between two inputs: an immutable value, private to it. */
export type PolicyState = ReadonlyArray<Memory>

/** An input of a policy. */
export type PolicyInput =
  | { readonly _tag: "Event"; readonly event: GuestEvent }
  /** Guest time has reached `atNanos`; all earlier inputs have been given. */
  | { readonly _tag: "Time"; readonly atNanos: GuestNanos }
  | { readonly _tag: "Signal"; readonly signal: TriggerSignal }

/** A request of a policy to its runner. A replay ignores these: their effects are in the timeline and the signals. */
export type PolicyCommand =
  /** Start a probe; its completion comes back as a signal of the same `probe` and `arming`. */
  | {
      readonly _tag: "StartProbe"
      readonly probe: string
      readonly arming: number
      readonly run: Effect.Effect<unknown, unknown>
    }
  /** The outcome of a probe is no longer wanted: interrupt it. */
  | { readonly _tag: "StopProbe"; readonly probe: string; readonly arming: number }
  /** Ask the agent to freeze the workload; the answer is an `AgentFrozen` event. */
  | { readonly _tag: "RequestQuiesce" }
  /** The workload was frozen, or asked to be, for a capture that will not happen. */
  | { readonly _tag: "RequestThaw" }

/** The result of one input. */
export interface PolicyStep {
  readonly state: PolicyState
  /** The decisions of this input: normally none or one, more if the input reports a late time. */
  readonly firings: ReadonlyArray<Firing>
  /** The end of the policy without a decision, if this input caused it. */
  readonly failure: TriggerError | null
  /** The requests to the runner, in order. */
  readonly commands: ReadonlyArray<PolicyCommand>
  /** Guest time of the next `Time` input that the policy needs; `null` for none. */
  readonly wakeAtNanos: GuestNanos | null
  /** Kinds of events at which a guest in lockstep must stop. Others are given in order when the guest stops. */
  readonly stopAt: ReadonlyArray<GuestEventKind>
}
