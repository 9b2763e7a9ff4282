/**
 * How often a trigger may have itself woken while a law is checked on it.
 *
 * A trigger may poll, every 10 µs and for ever: a guest stands that. A law, which decides some thousand times, would take hours.
 * So it has a budget, of wake-ups and not of time, for it to say the same on every machine: a trigger that uses it up at once is
 * told by name, and of one that polls moderately the law looks at as many timelines as the budget goes for.
 *
 * @module
 */
import type * as fc from "fast-check"
import { Policy } from "../Policy.ts"

/** For each timeline that was looked at, one with another: at a millisecond, some seconds of guest time, decided several times. */
const mostEach = 10_000
/** A single timeline may be a long one. */
const fewTimelines = 5

/** After so many, or so many for each timeline that was asked for, enough timelines were seen: fifty at least. */
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

/** The same trigger, and somebody who is told of each wake-up of whatever it is made a part of. */
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

/** What a law may use. */
export class WakeBudget {
  private readonly content: number
  private wakes = 0
  private lookedAt = 0
  private spent: WakesSpent | null = null

  /** For a law over so many timelines. */
  constructor(numRuns: number) {
    this.content = Math.max(most, mostEachOfAll * numRuns)
  }

  /** How many timelines were looked at. */
  get timelines(): number {
    return this.lookedAt
  }

  /** Why the law was left off; `null` if it was not. */
  get failure(): WakesSpent | null {
    return this.spent
  }

  private readonly woke = (): void => {
    this.wakes += 1
    if (this.wakes > mostEach * Math.max(fewTimelines, this.lookedAt))
      this.spent ??= new WakesSpent(this.wakes, this.lookedAt)
    if (this.spent !== null) throw this.spent
  }

  /** The same trigger, whose wake-ups are counted, those of whatever it is made a part of included. */
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
