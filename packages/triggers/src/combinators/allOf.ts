import { Part, type Site, Status } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"

/**
 * Fires when the last of some triggers has fired: `allOf(ts)(a) = max { t(a) | t ∈ ts }`. Each needs to fire once; the cause is
 * that of the last.
 *
 * - *Same instant*: several may fire at one input; the cause is that of the rightmost of them.
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
export const allOf = (policies: ReadonlyArray<Policy>): Policy => {
  if (policies.length === 0) refuse("allOf", "at least one trigger", "none")
  return new Policy({
    name: `allOf(${policies.map(({ name }) => name).join(", ")})`,
    description: { trigger: "allOf", of: policies.map(({ description }) => description) },
    // Which of them is the last is not known, and the hold of another may be over by then.
    holdNanos: policies.length === 1 ? (policies[0]?.holdNanos ?? null) : null,
    build: (site) => new AllOf(site, policies)
  })
}

class AllOf extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string

  constructor(site: Site, policies: ReadonlyArray<Policy>) {
    super(site, "allOf", 1)
    this.children = policies.map(({ shape }, index) => shape.build({ automaton: site.automaton, parent: this, index }))
    this.waitedFor = `all of: ${this.children.map(({ waitedFor }) => waitedFor).join("; ")}`
  }

  protected onArm(): void {
    this.setCell(0, 0)
    for (let index = 0; index < this.children.length && this.isArmed; index++) this.children[index]?.arm()
  }

  protected onDisarm(): void {
    for (let index = 0; index < this.children.length; index++) this.children[index]?.disarm()
  }

  override childFired(index: number): void {
    const child = this.children[index]
    // One that repeats has fired as often as it needs to.
    if (child !== undefined) {
      child.disarm()
      child.status = Status.fired
    }
    this.setCell(0, this.cell(0) + 1)
    if (this.cell(0) === this.children.length) this.fire()
  }

  override progress(): string {
    return `${this.cell(0)} of ${this.children.length} had fired`
  }
}
