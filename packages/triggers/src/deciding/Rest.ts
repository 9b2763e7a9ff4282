/**
 * A guest that rests, while a policy wakes itself again and again.
 *
 * @module
 */
import { Circles } from "../automaton/Circle.ts"
import type { PolicyState } from "../automaton/PolicyStep.ts"

/** Wake-ups of a policy that never is as it was before, at a guest that rests for ever: 10 ms apart, a quarter of an hour. */
const mostWakes = 100_000

/** Whether a policy's actions at rest can lead anywhere. Checked after each of its wake-ups; every event starts it again. */
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

  /** Guest time until which only an event can change the policy's repeating actions. */
  get isTheSameUntilNanos(): number {
    return this.untilNanos
  }

  /** Whether the policy is in an earlier state again, so that only an event can change its actions. */
  get goesInCircles(): boolean {
    return this.untilNanos === Infinity
  }

  /** Whether to stop waiting with a guest that rests forever. */
  get isOver(): boolean {
    return this.goesInCircles || this.wakes >= mostWakes
  }
}
