import type { TriggerSignal } from "@stillpoint/core"
import type { Effect, Schema } from "effect"
import { optional, requireAll, requireEffect, requireOptions, requireText, wordAmong } from "../argument.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/** The treatment of a failed probe. */
export interface ProbeOptions {
  /**
   * `never` (the default): the trigger can no longer fire, and its explanation says why. `fail`: the policy ends with the reason
   * `ProbeFailed`. Build retries into the effect.
   */
  readonly onFailure?: "never" | "fail"
}

/**
 * Fires when an effect on the host has succeeded: an HTTP readiness check, a warm-up script, a file that appears.
 * `fromEffect(n, f)(a) = s.at` of the recorded signal of `f` started at `a`.
 *
 * The effect is started when the trigger is armed, and interrupted when it is disarmed. Its clock is the guest's:
 * `Effect.sleep("50 millis")` is exactly 50 ms of guest time, in lockstep. While it waits for something outside, the guest continues
 * at the pace of the host. Its completion enters the policy as a *signal*, stamped with the guest time and the preceding event; a
 * replay takes the signal from the record. An effect that runs the guest itself (`machine.exec`) does so through
 * `GuestTimeline.exclusively`.
 *
 * - *Same instant*: timers of the same nanosecond and events that have happened come before it.
 * - *Already true at arming*: an effect that succeeds at once fires it at once, before the guest continues.
 * - *Guest ends first*: the effect is interrupted; the trigger never fires. With a guest that rests forever, the policy waits
 *   as long as the effect waits for something outside; effects that sleep or start again and again are interrupted after twenty
 *   seconds of guest time.
 *
 * @example
 * ```ts
 * import { fromEffect, onPreExec, andThen } from "@stillpoint/triggers"
 * import { Effect } from "effect"
 *
 * const warm = onPreExec().pipe(andThen(fromEffect("settle", Effect.sleep("50 millis"))))
 * console.log(warm.name) // andThen(onPreExec, fromEffect(settle))
 * ```
 */
export const fromEffect = <A, E>(name: string, effect: Effect.Effect<A, E>, options: ProbeOptions = {}): Policy => {
  const {
    read: { onFailure }
  } = requireAll({
    name: () => requireText("fromEffect.name", name),
    effect: () => requireEffect("fromEffect.effect", effect),
    read: () => requireOptions("fromEffect", options, { onFailure: optional(requireOnFailure) })
  })
  return probePolicy(
    { trigger: "fromEffect", name, ...(onFailure === undefined ? {} : { onFailure }) },
    `fromEffect(${name})`,
    effect,
    onFailure ?? "never"
  )
}

/** The action when a probe fails. */
export const requireOnFailure = wordAmong("never", "fail")

/** A trigger on the completion of an effect, under a description of its own. */
export const probePolicy = (
  description: Schema.Json,
  name: string,
  effect: Effect.Effect<unknown, unknown>,
  onFailure: "never" | "fail"
): Policy => new Policy({ name, description, build: (site) => new Probe(site, name, effect, onFailure) })

interface Memory {
  /** Number of times that it was armed. */
  arming: number
  /** The reason of its failure. */
  failure: string | null
}

class Probe extends Part<Memory> {
  readonly waitedFor: string
  private readonly effect: Effect.Effect<unknown, unknown>
  private readonly onFailure: "never" | "fail"

  constructor(site: Site, name: string, effect: Effect.Effect<unknown, unknown>, onFailure: "never" | "fail") {
    super(site, name, { arming: 0, failure: null })
    this.effect = effect
    this.onFailure = onFailure
    this.waitedFor = `${name} to succeed`
    site.automaton.registerProbe(this.key, this)
  }

  protected onArm(): void {
    this.memory.arming += 1
    this.memory.failure = null
    this.automaton.command({ _tag: "StartProbe", probe: this.key, arming: this.memory.arming, run: this.effect })
  }

  protected onDisarm(): void {
    this.automaton.command({ _tag: "StopProbe", probe: this.key, arming: this.memory.arming })
  }

  override onSignal(signal: TriggerSignal): void {
    // A completion of an arming before is no longer wanted.
    if (signal.arming !== this.memory.arming) return
    if (signal.outcome === "succeeded") {
      this.fireBy({ _tag: "Signal", signal })
      return
    }
    const message = typeof signal.payload === "string" ? signal.payload : JSON.stringify(signal.payload)
    if (this.onFailure === "fail") {
      const { automaton } = this
      const { nowNanos: atNanos, policyName: policy } = automaton
      automaton.fail({ _tag: "ProbeFailed", policy, probe: this.name, atNanos, message })
      return
    }
    this.memory.failure = message
    this.disarm()
    this.status = "failed"
  }

  override progress(): string {
    return this.memory.failure ?? ""
  }
}
