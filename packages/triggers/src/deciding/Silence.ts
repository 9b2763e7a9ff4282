/**
 * A guest of which nothing is heard, while probes start and end, or sleep and wake.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"

/** As often as this, and for as long, without an event: whoever polls every 10 ms may do so for twenty seconds. */
const toleratedTimes = 1000
const toleratedNanos = 20e9
/** So often a probe that comes to no rest is looked at. */
const toleratedTurns = 5

/**
 * How often a policy's probes have been heard of since the guest was.
 *
 * Once that was too often, it is to be seen whether the guest rests for ever: then they would go on for ever, too.
 */
export class Silence {
  private times = 0
  private turns = 0
  private lastSeq = -2
  private sinceNanos: GuestNanos = 0
  private untilNanos: GuestNanos = 0

  /** A probe has completed, was woken, or does not come to rest. */
  note(lastSeq: number, nowNanos: GuestNanos, isUnsettled = false): void {
    if (lastSeq !== this.lastSeq) {
      this.lastSeq = lastSeq
      this.times = 0
      this.turns = 0
      this.sinceNanos = nowNanos
    }
    this.untilNanos = nowNanos
    if (isUnsettled) this.turns += 1
    else this.times += 1
  }

  /** Whether the guest is to go on to its next event, or to the policy's next timer. */
  get isTooLong(): boolean {
    return this.isLongerThan(1)
  }

  /** Whether it is to go on, whatever the timer: one that is set again and again leads nowhere, either. */
  get isFarTooLong(): boolean {
    return this.isLongerThan(2)
  }

  private isLongerThan(factor: number): boolean {
    const isLong = this.untilNanos - this.sinceNanos > factor * toleratedNanos
    return (this.times > toleratedTimes && isLong) || this.turns > factor * toleratedTurns
  }
}
