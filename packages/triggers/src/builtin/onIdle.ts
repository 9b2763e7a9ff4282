import { guestTimeInWords } from "@stillpoint/core"
import type { GuestEvent } from "@stillpoint/core"
import type { Duration } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires when the hart has waited for interrupts for a duration without a break, counted from the arming at the earliest:
 * `onIdle(d)(a) = min { t | the hart is idle throughout [t - d, t], t - d ≥ a }`.
 *
 * - *Same instant*: a guest that wakes at the very nanosecond at which the duration ends has been idle for long enough.
 * - *Already true at arming*: a hart that is idle at the arming counts from then on; with a duration of 0 it fires at once.
 * - *Guest ends first*: never fires. A guest that rests forever does fire it.
 *
 * A stock kernel wakes for its timers and the agent for its heartbeat: a duration longer than the time between two of those
 * never comes true. To overlook such short work, use `quiesce`.
 *
 * @example
 * ```ts
 * import { onIdle, onPreExec, andThen } from "@stillpoint/triggers"
 *
 * console.log(andThen(onPreExec(), onIdle("10 millis")).name) // andThen(onPreExec, onIdle(10 ms))
 * ```
 */
export const onIdle = (duration: Duration.Input): Policy => {
  const nanos = toGuestNanos("onIdle", duration)
  return new Policy({
    name: `onIdle(${guestTimeInWords(nanos)})`,
    description: { trigger: "onIdle", nanos },
    build: (site) => new OnIdle(site, nanos)
  })
}

class OnIdle extends Part<{ longestNanos: number }> {
  readonly waitedFor: string
  private readonly nanos: number
  private readonly timer: Timer

  constructor(site: Site, nanos: number) {
    super(site, `onIdle(${guestTimeInWords(nanos)})`, { longestNanos: 0 }, ["GuestIdle", "GuestBusy"])
    site.automaton.channels.follow(["GuestIdle", "GuestBusy"])
    this.nanos = nanos
    this.waitedFor = `the hart to be idle for ${guestTimeInWords(nanos)}`
    this.timer = site.automaton.timers.make(this)
  }

  protected onArm(): void {
    this.memory.longestNanos = 0
    if (!this.automaton.guest.isIdle) return
    this.timer.setIn(this.nanos)
    if (this.nanos === 0) this.onTimer()
  }

  protected onDisarm(): void {
    this.timer.clear()
  }

  override onEvent(event: GuestEvent): void {
    if (event._tag === "GuestBusy") {
      this.memory.longestNanos = Math.max(this.memory.longestNanos, this.restedNanos)
      this.timer.clear()
      return
    }
    // A repeated idle event must not restart the rest.
    if (this.timer.isSet) return
    if (this.nanos === 0) this.fireOn(event)
    else this.timer.setIn(this.nanos)
  }

  override onTimer(): void {
    this.fireBy(this.timer.cause())
  }

  /** For how long the hart has been idle in this rest; 0 if it is busy. */
  private get restedNanos(): number {
    return this.timer.isSet ? this.nanos - (this.timer.dueNanos - this.automaton.nowNanos) : 0
  }

  override progress(): string {
    const longest = Math.max(this.restedNanos, this.memory.longestNanos)
    return `the hart had been idle for ${guestTimeInWords(longest)} at the longest`
  }
}
