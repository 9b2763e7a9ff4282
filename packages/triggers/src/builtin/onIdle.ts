import { guestTimeInWords } from "@stillpoint/core"
import type { GuestEvent } from "@stillpoint/core"
import type { Duration } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires when the hart has waited for an interrupt for a duration without a break, since the arming at the earliest:
 * `onIdle(d)(a) = min { t | the hart is idle throughout [t - d, t], t - d ≥ a }`.
 *
 * - *Same instant*: a guest that wakes at the very nanosecond at which the duration is full has been idle for long enough.
 * - *Already true at arming*: a hart that is idle then counts from the arming on, and for a duration of 0 fires at once.
 * - *Guest ends first*: never fires. A guest that rests for ever does get there.
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
    holdNanos: null,
    build: (site) => new OnIdle(site, nanos)
  })
}

class OnIdle extends Part {
  readonly waitedFor: string
  private readonly nanos: number
  private readonly timer: number

  constructor(site: Site, nanos: number) {
    super(site, `onIdle(${guestTimeInWords(nanos)})`, 1, ["GuestIdle", "GuestBusy"])
    site.automaton.guest.follow(["GuestIdle", "GuestBusy"])
    this.nanos = nanos
    this.waitedFor = `the hart to be idle for ${guestTimeInWords(nanos)}`
    this.timer = site.automaton.timers.allocate(this)
  }

  protected onArm(): void {
    this.setCell(0, 0)
    if (this.automaton.guest.idleSince >= 0) this.begin()
  }

  protected onDisarm(): void {
    this.automaton.timers.clear(this.timer)
  }

  override onEvent(event: GuestEvent): void {
    if (event._tag === "GuestBusy") {
      this.keepLongest()
      this.automaton.timers.clear(this.timer)
      // An idle event that comes twice must not begin the rest anew.
    } else if (this.automaton.guest.idleSince === this.automaton.now) this.begin()
  }

  override onTimer(): void {
    this.fire()
  }

  private begin(): void {
    if (this.nanos === 0) {
      if (this.isArmedByThisInput) this.automaton.causeNow()
      this.fire()
    } else this.automaton.timers.set(this.timer, this.automaton.now + this.nanos)
  }

  private keepLongest(): void {
    const due = this.automaton.timers.due(this.timer)
    if (due !== Infinity) this.setCell(0, Math.max(this.cell(0), this.nanos - (due - this.automaton.now)))
  }

  override progress(): string {
    const due = this.automaton.timers.due(this.timer)
    const current = due === Infinity ? 0 : this.nanos - (due - this.automaton.now)
    return `idle for ${guestTimeInWords(Math.max(current, this.cell(0)))} at the longest`
  }
}
