import { guestTimeInWords } from "@stillpoint/core"
import type { Duration } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { nothing, Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import { Policy } from "../Policy.ts"

/**
 * Fires a duration of guest time after it is armed: `afterGuestTime(d)(a) = a + d`.
 *
 * A policy is armed at the guest's first instruction, so at the root this is the guest's age; after `then` it counts from the
 * previous firing. Use it as the fallback for a guest that never reports ready.
 *
 * - *Same instant*: a timer comes before an event of the same nanosecond.
 * - *Already true at arming*: with a duration of 0 it fires at once.
 * - *Guest ends first*: a guest that halts before `a + d` never gets there. A guest that rests forever does: its time passes.
 *
 * @example
 * ```ts
 * import { afterGuestTime, onPreExec, andThen } from "@stillpoint/triggers"
 *
 * const warm = andThen(onPreExec(), afterGuestTime("250 millis"))
 * console.log(warm.name) // andThen(onPreExec, afterGuestTime(250 ms))
 * ```
 */
export const afterGuestTime = (duration: Duration.Input): Policy => {
  const nanos = toGuestNanos("afterGuestTime", duration)
  return new Policy({
    name: `afterGuestTime(${guestTimeInWords(nanos)})`,
    description: { trigger: "afterGuestTime", nanos },
    build: (site) => new AfterGuestTime(site, nanos)
  })
}

class AfterGuestTime extends Part {
  readonly waitedFor: string
  private readonly nanos: number
  private readonly timer: Timer

  constructor(site: Site, nanos: number) {
    super(site, `afterGuestTime(${guestTimeInWords(nanos)})`, nothing)
    this.nanos = nanos
    this.waitedFor = `${guestTimeInWords(nanos)} of guest time to pass`
    this.timer = site.automaton.timers.make(this)
  }

  protected onArm(): void {
    this.timer.setIn(this.nanos)
    if (this.nanos === 0) this.onTimer()
  }

  protected onDisarm(): void {
    this.timer.clear()
  }

  override onTimer(): void {
    this.fireBy(this.timer.cause())
  }

  override progress(): string {
    const passed = Math.min(this.nanos, this.watchedUntilNanos - this.life.armedAtNanos)
    return `${guestTimeInWords(passed)} of ${guestTimeInWords(this.nanos)} had passed`
  }
}
