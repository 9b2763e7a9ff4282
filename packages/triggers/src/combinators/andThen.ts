import type { Fired } from "../automaton/Fired.ts"
import { combinator, requirePolicy } from "./combinator.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires when a second trigger does, armed by the firing of a first: `andThen(t, u)(a) = u(t(a))`.
 *
 * It is *then* in the algebra and in JSON. The function has another name because JavaScript would treat a module that exports `then`
 * as a promise when it is imported dynamically.
 *
 * - *Same instant*: the input that fires the first is not seen by the second; another at the same nanosecond is.
 * - *Already true at arming*: if the first fires at once, the second is armed at once.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onPreExec, andThen } from "@stillpoint/triggers"
 *
 * console.log(onPreExec().pipe(andThen(afterGuestTime("1 second"))).name) // andThen(onPreExec, afterGuestTime(1 s))
 * ```
 */
export const andThen: {
  (second: Policy): (first: Policy) => Policy
  (first: Policy, second: Policy): Policy
} = combinator(
  "andThen",
  1,
  (second: Policy) => requirePolicy("andThen.second", second),
  (first, second) =>
    new Policy({
      name: `andThen(${first.name}, ${second.name})`,
      description: { trigger: "then", first: first.description, second: second.description },
      parts: [first, second],
      build: (site) => new Then(site, first, second)
    })
)

class Then extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly first: Part
  private readonly second: Part

  constructor(site: Site, first: Policy, second: Policy) {
    super(site, "then", nothing)
    this.first = first.build(this, 0)
    this.second = second.build(this, 1)
    this.children = [this.first, this.second]
    this.waitedFor = `${this.first.waitedFor}, then ${this.second.waitedFor}`
  }

  protected onArm(): void {
    // Progress of an earlier arming must not be reported for this one.
    this.second.retire("unarmed")
    this.second.status = "unarmed"
    this.first.arm()
  }

  protected onDisarm(): void {
    this.first.disarm()
    this.second.disarm()
  }

  override childFired(index: number, fired: Fired): void {
    if (index === 1) this.fire(fired)
    else {
      this.first.disarm()
      this.second.arm()
    }
  }

  override childPending(index: number): void {
    if (index === 1) this.parent?.childPending(this.index)
  }

  override childResumed(index: number): void {
    if (index === 1) this.parent?.childResumed(this.index)
  }
}
