import type { FiringCause } from "@stillpoint/core"
import { Function } from "effect"
import { Part, type Site, Status } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Lets through the firings of a trigger whose cause a predicate accepts, and arms it again after the others:
 * with `t₁ = t(a)`, `tₙ₊₁ = t(tₙ)`: `filter(t, p)(a) = min { tₙ | p(cause of tₙ) }`.
 *
 * The predicate has a name, under which a registry finds it when the policy is read from JSON. It must be pure: what it throws
 * ends the policy with the reason `TriggerDefect`.
 *
 * - *Same instant*: the input of a firing that was not accepted does not fire it again.
 * - *Already true at arming*: a trigger that fires at the input that arms it is not armed again by that input, or at all.
 * - *Guest ends first*: never fires.
 * - *A trigger that starts itself*: what time or a probe alone makes fire a thousand times in a row, with no event in between, ends
 *   the policy with the reason `TriggerDefect`: it would go on for ever.
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
} = Function.dual(
  3,
  (policy: Policy, name: string, predicate: (cause: FiringCause) => boolean): Policy =>
    new Policy({
      name: `filter(${policy.name}, ${name})`,
      description: { trigger: "filter", of: policy.description, predicate: name },
      holdNanos: policy.holdNanos,
      build: (site) => new Filter(site, policy, name, predicate)
    })
)

class Filter extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly predicate: (cause: FiringCause) => boolean
  private readonly child: Part

  constructor(site: Site, policy: Policy, name: string, predicate: (cause: FiringCause) => boolean) {
    super(site, "filter", 1)
    this.predicate = predicate
    this.child = policy.shape.build({ automaton: site.automaton, parent: this, index: 0 })
    this.children = [this.child]
    this.waitedFor = `${this.child.waitedFor}, if ${name}`
  }

  protected onArm(): void {
    this.setCell(0, 0)
    this.child.arm()
  }

  protected onDisarm(): void {
    this.child.disarm()
  }

  override childFired(): void {
    const accepted = this.guard(() => this.predicate(this.automaton.cause.toFiringCause()))
    if (accepted === undefined) return
    if (accepted) {
      this.passOn()
      return
    }
    this.setCell(0, this.cell(0) + 1)
    if (this.child.isArmed) return
    if (this.child.isArmedByThisInput) this.child.status = Status.expired
    else this.child.arm()
  }
}
