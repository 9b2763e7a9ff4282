import { Function } from "effect"
import { Part, type Site, Status } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"
import { refuse, refuseUnknown } from "../PolicyError.ts"

/** How often. */
export interface RepeatOptions {
  /** Number of firings after which the trigger is spent; without end if absent. */
  readonly times?: number
}

/**
 * Fires whenever a trigger does, arming it again each time: the firings are `t(a)`, `t(t(a))`, … up to `times` of them.
 *
 * For several captures in one run: `firings` of a policy, and `Trigger.replayAll`, give each. It belongs at the root, or under
 * `named`, `filter` and `mapCause`; a combinator that needs one firing takes the first and disarms it. `quiesce(repeat(t))`
 * means `repeat(quiesce(t))`.
 *
 * - *Same instant*: the input that fired it does not fire it again.
 * - *Already true at arming*: a trigger that fires at the input that arms it would do so for ever; it is not armed again.
 * - *Guest ends first*: no further firing.
 *
 * @example
 * ```ts
 * import { onEvent, repeat } from "@stillpoint/triggers"
 *
 * console.log(repeat(onEvent("HeartbeatTick"), { times: 3 }).name) // repeat(onEvent(HeartbeatTick), 3)
 * ```
 */
export const repeat: {
  (options?: RepeatOptions): (policy: Policy) => Policy
  (policy: Policy, options?: RepeatOptions): Policy
} = Function.dual(
  (args) => args[0] instanceof Policy,
  (policy: Policy, options: RepeatOptions = {}): Policy => {
    refuseUnknown("repeat", options, ["times"])
    const { times } = options
    if (times !== undefined && !(Number.isSafeInteger(times) && times >= 1))
      refuse("repeat.times", "a whole number above 0", times)
    return new Policy({
      name: times === undefined ? `repeat(${policy.name})` : `repeat(${policy.name}, ${times})`,
      description: { trigger: "repeat", of: policy.description, ...(times === undefined ? {} : { times }) },
      holdNanos: policy.holdNanos,
      build: (site) => new Repeat(site, policy, times ?? Infinity),
      quiesced: (wrap) => repeat(wrap(policy), options)
    })
  }
)

class Repeat extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly times: number
  private readonly child: Part

  constructor(site: Site, policy: Policy, times: number) {
    super(site, "repeat", 1)
    this.times = times
    this.child = policy.shape.build({ automaton: site.automaton, parent: this, index: 0 })
    this.children = [this.child]
    this.waitedFor = this.child.waitedFor
  }

  protected onArm(): void {
    this.setCell(0, 0)
    this.child.arm()
  }

  protected onDisarm(): void {
    this.child.disarm()
  }

  override childFired(): void {
    // Armed again, it fires on the same input: so it would for ever.
    if (this.cell(0) > 0 && this.child.isArmedByThisInput) {
      this.disarm()
      return
    }
    this.setCell(0, this.cell(0) + 1)
    if (this.cell(0) >= this.times || this.child.isArmedByThisInput) {
      this.status = Status.fired
      this.fire()
      return
    }
    this.emit()
    if (!this.isArmed || this.automaton.failure !== null) return
    this.automaton.goOn()
    if (!this.child.isArmed) this.child.arm()
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }

  override progress(): string {
    return `fired ${this.cell(0)} times`
  }
}
