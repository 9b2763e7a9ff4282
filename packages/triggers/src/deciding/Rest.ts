/**
 * A guest that rests, while a policy wakes itself again and again.
 *
 * @module
 */
import { Circle } from "../automaton/Circle.ts"
import type { PolicyState } from "../automaton/PolicyStep.ts"

/** Wake-ups of a policy that never is as it was before, at a guest that rests for ever: 10 ms apart, a quarter of an hour. */
const mostWakes = 100_000

/** Whether what a policy does at rest leads anywhere. Asked after each of its wake-ups; begun anew by every event. */
export class Rest {
  private readonly circle = new Circle()
  /** Whether the policy is where it was before: nothing but an event changes what it does. */
  goesInCircles = false

  /** The policy was woken, and nothing else has happened. */
  woke(now: PolicyState, save: () => PolicyState): void {
    if (!this.goesInCircles) this.goesInCircles = this.circle.woke(now, save)?.untilNanos === Infinity
  }

  /** Whether a guest that rests for ever is to be waited with no longer. */
  get isOver(): boolean {
    return this.goesInCircles || this.circle.wakeCount >= mostWakes
  }
}
