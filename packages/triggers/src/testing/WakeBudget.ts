/**
 * The budget of wake-ups for a trigger while a law is checked on it.
 *
 * A trigger may poll every 10 µs forever, which a guest can stand. A law, which decides some thousand times, would take hours.
 * So it has a budget, of wake-ups and not of time, so that the result is the same on every machine: a trigger that uses it up at
 * once is reported by name, and for one that polls moderately the law covers as many timelines as the budget allows.
 *
 * @module
 */
import type * as fc from "fast-check"
import { Policy } from "../Policy.ts"

/** For each timeline on average: at a millisecond, some seconds of guest time, decided several times. */
const mostEach = 10_000
/** A single timeline may be a long one. */
const fewTimelines = 5

/** After so many, or so many for each requested timeline, enough timelines were covered: at least fifty. */
const most = 500_000
const mostEachOfAll = 500

/** A law was left off, for the trigger has itself woken too often. */
export class WakesSpent extends Error {
  override readonly name = "WakesSpent"

  constructor(wakes: number, timelines: number) {
    super(
      `expected a trigger that has itself woken at most ${mostEach} times on a timeline, one with another, found ${wakes} times on ` +
        `${timelines}: the law would take too long. Let the trigger wait for events, or poll less often; where it must poll, give ` +
        "the law shorter `timelines`, none of which ends in a rest for ever"
    )
  }
}

/** The same trigger, with a callback for each wake-up of any policy that contains it. */
export const withWakes = (trigger: Policy, woke: () => void): Policy => {
  const { build, quiesced } = trigger.shape
  return new Policy({
    ...trigger.shape,
    build: (site) => {
      site.automaton.timers.onWake = woke
      return build(site)
    },
    ...(quiesced === undefined ? {} : { quiesced: (wrap) => withWakes(quiesced(wrap), woke) })
  })
}

/** The budget of a law. */
export class WakeBudget {
  private readonly content: number
  private wakes = 0
  private lookedAt = 0
  private spent: WakesSpent | null = null

  /** For a law over so many timelines. */
  constructor(numRuns: number) {
    this.content = Math.max(most, mostEachOfAll * numRuns)
  }

  /** Number of timelines that were covered. */
  get timelines(): number {
    return this.lookedAt
  }

  /** Why the law was ended early; `null` if it was not. */
  get failure(): WakesSpent | null {
    return this.spent
  }

  private readonly woke = (): void => {
    this.wakes += 1
    if (this.wakes > mostEach * Math.max(fewTimelines, this.lookedAt))
      this.spent ??= new WakesSpent(this.wakes, this.lookedAt)
    if (this.spent !== null) throw this.spent
  }

  /** The same trigger with its wake-ups counted, including those of any policy that contains it. */
  counted(trigger: Policy): Policy {
    return withWakes(trigger, this.woke)
  }

  /** The same property; once enough was seen, it is taken to hold of the rest. */
  bounded(property: fc.IRawProperty<unknown>): fc.IRawProperty<unknown> {
    return {
      isAsync: () => property.isAsync(),
      generate: (random, runId) => property.generate(random, runId),
      shrink: (value) => property.shrink(value),
      run: (value) => {
        if (this.wakes >= this.content) return null
        this.lookedAt += 1
        return property.run(value)
      },
      runBeforeEach: () => property.runBeforeEach(),
      runAfterEach: () => property.runAfterEach()
    }
  }
}
