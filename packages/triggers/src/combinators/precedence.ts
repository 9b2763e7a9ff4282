import type { Fired } from "../automaton/Fired.ts"
import { requirePolicies } from "./combinator.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { buildAll, Policy } from "../Policy.ts"

/**
 * Fires when the first of some triggers does, given from highest to lowest. If several fire at once, the highest wins; a higher one
 * that fires while a lower one waits for calm takes over:
 * `precedence(ts)(a) = min { t(a) | t ∈ ts, no higher u is triggered at an input before that of t(a), or at it }`,
 * where a trigger under `quiesce` is
 * *triggered* when what it wraps fires, and fires when its calm is full.
 *
 * Once a trigger has been triggered, all lower ones are out, even if its calm never comes and it is abandoned.
 * `quiesce(precedence(ts))` means `precedence(ts under quiesce)`, so that a higher trigger takes over there, too.
 * Adding a lower trigger never delays a higher one, nor changes who wins when the higher one fires first.
 *
 * - *Same instant*: at one input, the highest that it fires; at one nanosecond, the one whose input comes first: timers, then
 *   events by `seq`. In lockstep the capture happens at that very input.
 * - *Already true at arming*: the highest that fires at once wins.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onListener, onPreExec, precedence } from "@stillpoint/triggers"
 *
 * const policy = precedence([onPreExec(), onListener(), afterGuestTime("7 seconds")])
 * console.log(policy.name) // precedence(onPreExec, onListener, afterGuestTime(7 s))
 * ```
 */
export const precedence = (list: ReadonlyArray<Policy>): Policy => {
  const policies = requirePolicies("precedence", list)
  return new Policy({
    name: `precedence(${policies.map(({ name }) => name).join(", ")})`,
    description: { trigger: "precedence", of: policies.map(({ description }) => description) },
    parts: policies,
    build: (site) => new Precedence(site, policies),
    quiesced: (wrap) => precedence(policies.map(wrap))
  })
}

interface Memory {
  /** Whether a part below has been triggered: the lower ones are then eliminated. */
  isTriggered: boolean
}

class Precedence extends Part<Memory> {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string

  constructor(site: Site, policies: ReadonlyArray<Policy>) {
    super(site, "precedence", { isTriggered: false })
    this.children = buildAll(policies, this)
    this.waitedFor = `the highest of: ${this.children.map(({ waitedFor }) => waitedFor).join("; ")}`
  }

  protected onArm(): void {
    this.memory.isTriggered = false
    this.armFrom(0)
  }

  private armFrom(first: number): void {
    for (let index = first; index < this.children.length && this.isArmed; index++) {
      this.children[index]?.arm()
      if (this.memory.isTriggered) return
    }
  }

  protected onDisarm(): void {
    for (const child of this.children) child.disarm()
  }

  override childFired(winner: number, fired: Fired): void {
    for (const child of this.children.slice(winner + 1)) child.overtake()
    this.fire(fired)
  }

  override childPending(leader: number): void {
    this.memory.isTriggered = true
    for (const child of this.children.slice(leader + 1)) child.overtake()
    this.parent?.childPending(this.index)
  }

  override childResumed(leader: number): void {
    this.memory.isTriggered = false
    this.parent?.childResumed(this.index)
    this.armFrom(leader + 1)
  }
}
