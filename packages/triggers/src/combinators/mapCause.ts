import type { FiringCause } from "@stillpoint/core"
import { Function } from "effect"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires when a trigger does, with a cause of one's choice: `mapCause(t, f)(a) = t(a)`, its cause `f(cause of t(a))`.
 *
 * For plug-ins that know better what made them fire, e.g. the request behind a log line. The function has a name, under which a
 * registry finds it when the policy is read from JSON. It must be pure: what it throws ends the policy with the reason
 * `TriggerDefect`.
 *
 * Same instant, already true at arming, guest ends first: as the trigger.
 *
 * @example
 * ```ts
 * import { mapCause, onPreExec } from "@stillpoint/triggers"
 *
 * const policy = onPreExec().pipe(mapCause("as-it-is", (cause) => cause))
 * console.log(policy.name) // mapCause(onPreExec, as-it-is)
 * ```
 */
export const mapCause: {
  (name: string, map: (cause: FiringCause) => FiringCause): (policy: Policy) => Policy
  (policy: Policy, name: string, map: (cause: FiringCause) => FiringCause): Policy
} = Function.dual(
  3,
  (policy: Policy, name: string, map: (cause: FiringCause) => FiringCause): Policy =>
    new Policy({
      name: `mapCause(${policy.name}, ${name})`,
      description: { trigger: "mapCause", of: policy.description, map: name },
      holdNanos: policy.holdNanos,
      build: (site) => new MapCause(site, policy, map)
    })
)

class MapCause extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly map: (cause: FiringCause) => FiringCause

  constructor(site: Site, policy: Policy, map: (cause: FiringCause) => FiringCause) {
    super(site, "mapCause", 0)
    this.map = map
    const child = policy.shape.build({ automaton: site.automaton, parent: this, index: 0 })
    this.children = [child]
    this.waitedFor = child.waitedFor
  }

  protected onArm(): void {
    this.children[0]?.arm()
  }

  protected onDisarm(): void {
    this.children[0]?.disarm()
  }

  override childFired(): void {
    const { automaton } = this
    const mapped = this.guard(() => this.map(automaton.cause.toFiringCause()))
    if (mapped === undefined) return
    automaton.cause.isReplacedBy(mapped)
    this.passOn()
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }
}
