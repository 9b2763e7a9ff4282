import { describeValue } from "@stillpoint/core"
import type { FiringCause } from "@stillpoint/core"
import type { Fired } from "../automaton/Fired.ts"
import { requireAll, requireFunction, requireText } from "../argument.ts"
import { combinator } from "./combinator.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires at the first firing of a trigger whose cause a predicate accepts, and arms the trigger again after each other firing:
 * with `t₁ = t(a)`, `tₙ₊₁ = t(tₙ)`: `filter(t, p)(a) = min { tₙ | p(cause of tₙ) }`.
 *
 * The predicate has a name, by which a registry finds it when the policy is read from JSON. It must be pure; if it throws, the
 * policy ends with the reason `TriggerDefect`.
 *
 * - *Same instant*: the input of a firing that was not accepted does not fire it again.
 * - *Already true at arming*: a trigger that fires at the input that arms it is not armed again by that input, or at all.
 * - *Guest ends first*: never fires.
 * - *A trigger that restarts itself*: a trigger that fires on time or a probe alone continues as long as the guest lives. In a
 *   guest that rests forever, probes are stopped after twenty seconds of guest time, and the policy ends with the guest unless a
 *   timer decides.
 *
 * @example
 * ```ts
 * import { filter, onListener } from "@stillpoint/triggers"
 *
 * const low = onListener().pipe(
 *   filter("port-below-1024", (cause) => cause._tag === "Event" && cause.event._tag === "ListenerBound" && cause.event.port < 1024)
 * )
 * console.log(low.name) // filter(onListener, port-below-1024)
 * ```
 */
export const filter: {
  (name: string, predicate: (cause: FiringCause) => boolean): (policy: Policy) => Policy
  (policy: Policy, name: string, predicate: (cause: FiringCause) => boolean): Policy
} = combinator(
  "filter",
  2,
  (name: string, predicate: (cause: FiringCause) => boolean) =>
    requireAll({
      name: () => requireText("filter.name", name),
      predicate: () => requireFunction("filter.predicate", predicate)
    }),
  (policy, { name, predicate }) =>
    new Policy({
      name: `filter(${policy.name}, ${name})`,
      description: { trigger: "filter", of: policy.description, predicate: name },
      parts: [policy],
      build: (site) => new Filter(site, policy, name, predicate)
    })
)

class Filter extends Part<{ refused: number }> {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly predicate: (cause: FiringCause) => boolean
  private readonly child: Part

  constructor(site: Site, policy: Policy, name: string, predicate: (cause: FiringCause) => boolean) {
    super(site, "filter", { refused: 0 })
    this.predicate = predicate
    this.child = policy.build(this)
    this.children = [this.child]
    this.waitedFor = `${this.child.waitedFor}, if ${name}`
  }

  protected onArm(): void {
    this.memory.refused = 0
    this.child.arm()
  }

  protected onDisarm(): void {
    this.child.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    const accepted: unknown = this.guard(() => this.predicate(fired.cause))
    if (this.automaton.hasEnded) return
    if (typeof accepted !== "boolean") {
      this.isDefect(`expected the predicate to answer true or false, found ${describeValue(accepted)}`)
      return
    }
    if (accepted) {
      this.passOn(fired)
      return
    }
    this.memory.refused += 1
    if (this.child.isArmed) return
    if (this.child.isArmedByThisInput) this.child.status = "expired"
    else this.child.arm()
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }
}
