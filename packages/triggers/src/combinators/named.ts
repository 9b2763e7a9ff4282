import type { Fired } from "../automaton/Fired.ts"
import { requireText } from "../argument.ts"
import { combinator } from "./combinator.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Gives a trigger a name: `named(t, n)(a) = t(a)`. A firing of any part below is reported under the innermost such name.
 *
 * Same instant, already true at arming, guest ends first: as the trigger. `quiesce(named(t))` means `named(quiesce(t))`.
 *
 * @example
 * ```ts
 * import { allOf, named, onListener } from "@stillpoint/triggers"
 *
 * const ready = allOf([onListener({ port: 80 }), onListener({ port: 443 })]).pipe(named("web-server-ready"))
 * console.log(ready.name) // web-server-ready
 * ```
 */
export const named: {
  (name: string): (policy: Policy) => Policy
  (policy: Policy, name: string): Policy
} = combinator(
  "named",
  1,
  (name: string) => requireText("named.name", name),
  (policy, name) =>
    new Policy({
      name,
      description: { trigger: "named", name, of: policy.description },
      parts: [policy],
      build: (site) => new Named(site, policy, name),
      quiesced: (wrap) => named(wrap(policy), name)
    })
)

class Named extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string

  constructor(site: Site, policy: Policy, name: string) {
    super(site, name, nothing)
    const child = policy.build(this)
    this.children = [child]
    this.waitedFor = child.waitedFor
  }

  override get givesName(): boolean {
    return true
  }

  protected onArm(): void {
    this.children[0]?.arm()
  }

  protected onDisarm(): void {
    this.children[0]?.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    this.passOn(fired)
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }
}
