/**
 * A guest that rests, while a policy wakes itself again and again.
 *
 * @module
 */
import { Circles } from "../automaton/Circle.ts"
import type { PolicyState } from "../automaton/PolicyStep.ts"

/** Wake-ups of a policy that never is as it was before, at a guest that rests for ever: 10 ms apart, a quarter of an hour. */
const mostWakes = 100_000

/** Whether what a policy does at rest leads anywhere. Asked after each of its wake-ups; begun anew by every event. */
export class Rest {
  private readonly circles = new Circles()
  private wakes = 0
  private untilNanos = 0

  /** The policy was woken, and nothing else has happened. */
  woke(now: PolicyState, save: () => PolicyState): void {
    if (this.goesInCircles) return
    this.wakes += 1
    this.circles.woke(now, save, (round) => {
      this.untilNanos = Math.max(this.untilNanos, round.untilNanos)
    })
  }

  /** Guest time until which nothing but an event changes what the policy does, over and over again. */
  get isTheSameUntilNanos(): number {
    return this.untilNanos
  }

  /** Whether the policy is where it was before: nothing but an event changes what it does. */
  get goesInCircles(): boolean {
    return this.untilNanos === Infinity
  }

  /** Whether a guest that rests for ever is to be waited with no longer. */
  get isOver(): boolean {
    return this.goesInCircles || this.wakes >= mostWakes
  }
}
