import type { Fired } from "../automaton/Fired.ts"
import { requirePolicies } from "./combinator.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import { buildAll, Policy } from "../Policy.ts"

/**
 * Fires when the first of some triggers does: `firstOf(ts)(a) = min { t(a) | t ∈ ts }`.
 *
 * Associative, idempotent, commutative up to the tie-break; `never` is its identity. A list of none is refused.
 *
 * - *Same instant*: at one input, the leftmost that it fires; at one nanosecond, the one whose input comes first: timers, then
 *   events by `seq`.
 * - *Already true at arming*: the leftmost that fires at once wins, and those to its right are not armed.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { firstOf, onListener, onParked } from "@stillpoint/triggers"
 *
 * console.log(firstOf([onListener(), onParked()]).name) // firstOf(onListener, onParked)
 * ```
 */
export const firstOf = (list: ReadonlyArray<Policy>): Policy => {
  const policies = requirePolicies("firstOf", list)
  return new Policy({
    name: `firstOf(${policies.map(({ name }) => name).join(", ")})`,
    description: { trigger: "firstOf", of: policies.map(({ description }) => description) },
    parts: policies,
    build: (site) => new FirstOf(site, policies)
  })
}

class FirstOf extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string

  constructor(site: Site, policies: ReadonlyArray<Policy>) {
    super(site, "firstOf", nothing)
    this.children = buildAll(policies, this)
    this.waitedFor = `the first of: ${this.children.map(({ waitedFor }) => waitedFor).join("; ")}`
  }

  protected onArm(): void {
    for (let index = 0; index < this.children.length && this.isArmed; index++) this.children[index]?.arm()
  }

  protected onDisarm(): void {
    for (const child of this.children) child.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    this.fire(fired)
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }
}
