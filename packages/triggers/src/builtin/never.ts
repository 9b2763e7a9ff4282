import { nothing, Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * The trigger that never fires: `never(a) = ∞` for every arming `a`. The identity of `firstOf` and `precedence`.
 *
 * Awaiting it alone fails at once with the reason `NothingArmed`: a policy that cannot fire does not wait for the guest to end.
 *
 * @example
 * ```ts
 * import { firstOf, never, onPreExec } from "@stillpoint/triggers"
 *
 * const policy = firstOf([never, onPreExec()]) // fires exactly when onPreExec() does
 * console.log(policy.name) // firstOf(never, onPreExec)
 * ```
 */
export const never: Policy = new Policy({
  name: "never",
  description: { trigger: "never" },
  build: (site) => new Never(site)
})

class Never extends Part {
  readonly waitedFor = "nothing"

  constructor(site: Site) {
    super(site, "never", nothing)
  }

  protected onArm(): void {}
  protected onDisarm(): void {}

  override get isTrigger(): boolean {
    return false
  }
}
