/**
 * A guest of which nothing is heard, while probes start and end, or sleep and wake.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"

/**
 * Number of signals, and time, without an event that are tolerated: a probe may poll every 10 ms for twenty
 * seconds.
 */
const toleratedTimes = 1000
const toleratedNanos = 20e9
/** Number of times that a probe without rest is checked. */
const toleratedTurns = 5

/**
 * Counts the signals of a policy's probes since the last event of the guest.
 *
 * Once there were too many, the runner checks whether the guest rests forever, since then they would continue
 * forever too.
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

  /** Whether the guest must continue to its next event, or to the policy's next timer. */
  get isTooLong(): boolean {
    return this.isLongerThan(1)
  }

  /** Whether it must continue past any timer: a timer that is set again and again leads nowhere either. */
  get isFarTooLong(): boolean {
    return this.isLongerThan(2)
  }

  private isLongerThan(factor: number): boolean {
    const isLong = this.untilNanos - this.sinceNanos > factor * toleratedNanos
    return (this.times > toleratedTimes && isLong) || this.turns > factor * toleratedTurns
  }
}
