import { describeValue, FiringCause } from "@stillpoint/core"
import { Schema } from "effect"
import type { Fired } from "../automaton/Fired.ts"
import { requireAll, requireFunction, requireText } from "../argument.ts"
import { combinator } from "./combinator.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires when a trigger does, with another cause: `mapCause(t, f)(a) = t(a)`, its cause `f(cause of t(a))`.
 *
 * For plug-ins that know the real cause, such as the request behind a log line. The function has a name, by which a registry
 * finds it when the policy is read from JSON. It must be pure; if it throws, the policy ends with the reason `TriggerDefect`.
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
} = combinator(
  "mapCause",
  2,
  (name: string, map: (cause: FiringCause) => FiringCause) =>
    requireAll({
      name: () => requireText("mapCause.name", name),
      map: () => requireFunction("mapCause.map", map)
    }),
  (policy, { map, name }) =>
    new Policy({
      name: `mapCause(${policy.name}, ${name})`,
      description: { trigger: "mapCause", of: policy.description, map: name },
      parts: [policy],
      build: (site) => new MapCause(site, policy, map)
    })
)

class MapCause extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly map: (cause: FiringCause) => FiringCause

  constructor(site: Site, policy: Policy, map: (cause: FiringCause) => FiringCause) {
    super(site, "mapCause", nothing)
    this.map = map
    const child = policy.build(this)
    this.children = [child]
    this.waitedFor = child.waitedFor
  }

  protected onArm(): void {
    this.children[0]?.arm()
  }

  protected onDisarm(): void {
    this.children[0]?.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    const mapped: unknown = this.guard(() => this.map(fired.cause))
    if (this.automaton.hasEnded) return
    if (isCause(mapped)) this.passOn({ ...fired, cause: mapped })
    else this.isDefect(`expected the function to answer a cause, found ${describeValue(mapped)}`)
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }
}

const isCause = Schema.is(FiringCause)
