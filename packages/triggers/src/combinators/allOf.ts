import type { Fired } from "../automaton/Fired.ts"
import { requirePolicies } from "./combinator.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { buildAll, Policy } from "../Policy.ts"

/**
 * Fires when the last of some triggers has fired: `allOf(ts)(a) = max { t(a) | t ∈ ts }`. Each needs to fire once; the cause is
 * the last one's.
 *
 * - *Same instant*: several may fire at one input; the cause is the rightmost one's.
 * - *Already true at arming*: it fires at once if all do.
 * - *Guest ends first*, or one of them can fire no more: never fires.
 *
 * @example
 * ```ts
 * import { allOf, onListener } from "@stillpoint/triggers"
 *
 * const both = allOf([onListener({ port: 80 }), onListener({ port: 443 })])
 * console.log(both.name) // allOf(onListener(port 80), onListener(port 443))
 * ```
 */
export const allOf = (list: ReadonlyArray<Policy>): Policy => {
  const policies = requirePolicies("allOf", list)
  return new Policy({
    name: `allOf(${policies.map(({ name }) => name).join(", ")})`,
    description: { trigger: "allOf", of: policies.map(({ description }) => description) },
    parts: policies,
    build: (site) => new AllOf(site, policies)
  })
}

class AllOf extends Part<{ fired: number }> {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string

  constructor(site: Site, policies: ReadonlyArray<Policy>) {
    super(site, "allOf", { fired: 0 })
    this.children = buildAll(policies, this)
    this.waitedFor = `all of: ${this.children.map(({ waitedFor }) => waitedFor).join("; ")}`
  }

  protected onArm(): void {
    this.memory.fired = 0
    for (let index = 0; index < this.children.length && this.isArmed; index++) this.children[index]?.arm()
  }

  protected onDisarm(): void {
    for (const child of this.children) child.disarm()
  }

  override childFired(index: number, fired: Fired): void {
    const child = this.children[index]
    // A trigger that repeats has fired often enough.
    if (child !== undefined) {
      child.disarm()
      child.status = "fired"
    }
    this.memory.fired += 1
    if (this.memory.fired === this.children.length) this.fire(fired)
  }
}
