import { guestTimeInWords } from "@stillpoint/core"
import { type Duration, Function } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { CauseMemory } from "../automaton/CauseMemory.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires once a trigger has fired and then, armed again and again, not for a duration of guest time:
 * with `t₁ = t(a)`, `tₙ₊₁ = t(tₙ)`: `debounce(t, d)(a) = min { tₙ + d | tₙ₊₁ ≥ tₙ + d }`. The cause is that of `tₙ`.
 *
 * - *Same instant*: a firing at `tₙ + d` is too late to postpone it. With a duration of 0 it fires when the trigger does.
 * - *Already true at arming*: a trigger that fires at the input that arms it is not armed again by that input, or at all.
 * - *Guest ends first*: never fires, though the trigger may have.
 * - *A trigger that starts itself*: what time or a probe alone makes fire a thousand times in a row, with no event in between, ends
 *   the policy with the reason `TriggerDefect`: it would go on for ever.
 *
 * @example
 * ```ts
 * import { debounce, onEvent } from "@stillpoint/triggers"
 *
 * console.log(onEvent("SerialLine").pipe(debounce("300 millis")).name) // debounce(onEvent(SerialLine), 300 ms)
 * ```
 */
export const debounce: {
  (duration: Duration.Input): (policy: Policy) => Policy
  (policy: Policy, duration: Duration.Input): Policy
} = Function.dual(2, (policy: Policy, duration: Duration.Input): Policy => {
  const nanos = toGuestNanos("debounce", duration)
  return new Policy({
    name: `debounce(${policy.name}, ${guestTimeInWords(nanos)})`,
    description: { trigger: "debounce", of: policy.description, nanos },
    holdNanos: nanos === 0 ? policy.holdNanos : null,
    build: (site) => new Debounce(site, policy, nanos)
  })
})

class Debounce extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly nanos: number
  private readonly timer: number
  private readonly cause: CauseMemory
  private readonly child: Part

  constructor(site: Site, policy: Policy, nanos: number) {
    super(site, "debounce", 1)
    this.nanos = nanos
    this.timer = site.automaton.timers.allocate(this)
    this.cause = new CauseMemory(site.automaton)
    this.child = policy.shape.build({ automaton: site.automaton, parent: this, index: 0 })
    this.children = [this.child]
    this.waitedFor = `${this.child.waitedFor}, and not again for ${guestTimeInWords(nanos)}`
  }

  protected onArm(): void {
    this.setCell(0, 0)
    this.child.arm()
  }

  protected onDisarm(): void {
    this.automaton.timers.clear(this.timer)
    this.child.disarm()
  }

  override childFired(): void {
    this.setCell(0, this.cell(0) + 1)
    if (this.nanos === 0) {
      this.fire()
      return
    }
    this.cause.keep()
    this.automaton.timers.set(this.timer, this.automaton.now + this.nanos)
    if (!this.child.isArmed && !this.child.isArmedByThisInput) this.child.arm()
  }

  override onTimer(): void {
    this.cause.recall()
    this.fire()
  }

  override progress(): string {
    return `fired ${this.cell(0)} times`
  }
}
