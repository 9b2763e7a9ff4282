import { guestTimeInWords } from "@stillpoint/core"
import type { Duration } from "effect"
import { combinator, requirePolicy } from "./combinator.ts"
import { requireAll } from "../argument.ts"
import { toGuestNanos } from "../guestDuration.ts"
import type { Fired } from "../automaton/Fired.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import { Policy } from "../Policy.ts"

/**
 * Gives a trigger a duration of guest time to fire, and replaces it with another trigger after that:
 * `orElseAfter(t, d, u)(a) = t(a) if t(a) < a + d, else u(a + d)`.
 *
 * - *Same instant*: the deadline comes first: an event or a timer at `a + d` is too late.
 * - *Already true at arming*: a trigger that fires at once does, unless the duration is 0: then the other is armed at once.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onListener, onParked, orElseAfter } from "@stillpoint/triggers"
 *
 * console.log(onListener().pipe(orElseAfter("5 seconds", onParked())).name) // orElseAfter(onListener, 5 s, onParked)
 * ```
 */
export const orElseAfter: {
  (duration: Duration.Input, other: Policy): (policy: Policy) => Policy
  (policy: Policy, duration: Duration.Input, other: Policy): Policy
} = combinator(
  "orElseAfter",
  2,
  (duration: Duration.Input, other: Policy) =>
    requireAll({
      nanos: () => toGuestNanos("orElseAfter", duration),
      other: () => requirePolicy("orElseAfter.other", other)
    }),
  (policy, { nanos, other }) => {
    return new Policy({
      name: `orElseAfter(${policy.name}, ${guestTimeInWords(nanos)}, ${other.name})`,
      description: { trigger: "orElseAfter", of: policy.description, nanos, other: other.description },
      parts: [policy, other],
      build: (site) => new OrElseAfter(site, "orElseAfter", policy, nanos, other)
    })
  }
)

/** The part behind {@link orElseAfter} and the combinators built on it. */
export class OrElseAfter extends Part {
  override readonly children: ReadonlyArray<Part>
  readonly waitedFor: string
  private readonly nanos: number
  private readonly first: Part
  private readonly other: Part
  private readonly timer: Timer

  constructor(site: Site, name: string, policy: Policy, nanos: number, other: Policy) {
    super(site, name, nothing)
    this.nanos = nanos
    this.timer = site.automaton.timers.make(this)
    this.first = policy.build(this, 0)
    this.other = other.build(this, 1)
    this.children = [this.first, this.other]
    this.waitedFor = `${this.first.waitedFor}, within ${guestTimeInWords(nanos)}`
  }

  protected onArm(): void {
    this.other.retire("unarmed")
    this.other.status = "unarmed"
    if (this.nanos === 0) {
      this.first.status = "expired"
      this.other.arm()
      return
    }
    this.timer.setIn(this.nanos)
    this.first.arm()
  }

  protected onDisarm(): void {
    this.timer.clear()
    this.first.disarm()
    this.other.disarm()
  }

  override onTimer(): void {
    this.first.retire("expired")
    this.other.arm()
  }

  override childFired(_index: number, fired: Fired): void {
    this.fire(fired)
  }
}
