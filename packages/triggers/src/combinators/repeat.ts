import type { Fired } from "../automaton/Fired.ts"
import { optional, requireAll, requireCount, requireOptions } from "../argument.ts"
import { requirePolicy } from "./combinator.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/** Options of `repeat`. */
export interface RepeatOptions {
  /** Number of firings after which the trigger is finished; unlimited if absent. */
  readonly times?: number
}

/**
 * Fires whenever a trigger does, arming it again each time: the firings are `t(a)`, `t(t(a))`, … up to `times` of them.
 *
 * For several captures of one boot: `firings` of a policy and `Trigger.replayAll` return all of them. It belongs at the root, or under
 * `named`, `filter` and `mapCause`; a combinator that needs one firing takes the first and disarms it. `quiesce(repeat(t))`
 * means `repeat(quiesce(t))`.
 *
 * - *Same instant*: the input that fired it does not fire it again.
 * - *Already true at arming*: a trigger that fires at the input that arms it would do so forever; it is not armed again.
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
} = ((...args: readonly [Policy, RepeatOptions?] | readonly [RepeatOptions?]) => {
  const [first, second] = args
  if (args.length > 1 || first instanceof Policy) {
    const { policy, times } = requireAll({
      policy: () => requirePolicy("repeat", first),
      times: () => readTimes(second)
    })
    return repeated(policy, times)
  }
  const times = readTimes(first)
  return (policy: unknown) => repeated(requirePolicy("repeat", policy), times)
}) as never

const readTimes = (options: RepeatOptions = {}): number | undefined =>
  requireOptions("repeat", options, { times: optional(requireCount) }).times

const repeated = (policy: Policy, times: number | undefined): Policy =>
  new Policy({
    name: times === undefined ? `repeat(${policy.name})` : `repeat(${policy.name}, ${times})`,
    description: { trigger: "repeat", of: policy.description, ...(times === undefined ? {} : { times }) },
    parts: [policy],
    build: (site) => new Repeat(site, policy, times ?? Infinity),
    quiesced: (wrap) => repeated(wrap(policy), times)
  })

class Repeat extends Part<{ times: number }> {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly times: number
  private readonly child: Part

  constructor(site: Site, policy: Policy, times: number) {
    super(site, "repeat", { times: 0 })
    this.times = times
    this.child = policy.build(this)
    this.children = [this.child]
    this.waitedFor = this.child.waitedFor
  }

  protected onArm(): void {
    this.memory.times = 0
    this.child.arm()
  }

  protected onDisarm(): void {
    this.child.disarm()
  }

  override childFired(_index: number, fired: Fired): void {
    const { automaton, child, memory } = this
    // Armed again, it fires on the same input: so it would for ever.
    if (memory.times > 0 && child.isArmedByThisInput) {
      this.disarm()
      return
    }
    memory.times += 1
    if (memory.times >= this.times || child.isArmedByThisInput) {
      this.fire(fired)
      return
    }
    this.tell(fired)
    if (!this.isArmed || automaton.failure !== null) return
    automaton.goOn()
    if (!child.isArmed) child.arm()
  }

  override childPending(): void {
    this.parent?.childPending(this.index)
  }

  override childResumed(): void {
    this.parent?.childResumed(this.index)
  }
}
