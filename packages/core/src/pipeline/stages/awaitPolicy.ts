/**
 * The stage that waits for the right moment.
 *
 * @module
 */
import { Effect } from "effect"
import type { Firing, TriggerSignal } from "../../Firing.ts"
import { GuestTimeline, TriggerSignals } from "../../GuestTimeline.ts"
import { Journal } from "../../journal/Journal.ts"
import type { JournalError } from "../../journal/JournalErrors.ts"
import { appendSignal } from "../../journal/signalStream.ts"
import { RunContext } from "../../run/RunContext.ts"
import type { Trigger } from "../../Trigger.ts"
import { durationProblems } from "../../optionProblems.ts"
import * as Stage from "../Stage.ts"
import { watchGuard, type WatchLimit } from "../watchGuard.ts"
import type { Booted } from "./boot.ts"

/** A machine that stands at its policy's firing. */
export interface Fired extends Booted {
  readonly policy: Trigger
  readonly firing: Firing
  /** Whether the policy's agent froze the workload, and it is still frozen. */
  readonly isFrozen: boolean
}

const isFrozenBy = ({ quiesce }: Firing): boolean => quiesce?.agent === "frozen"

/**
 * Runs the guest until the policy fires, can no longer fire, or has waited for too long. The policy's signals from outside
 * are recorded before it acts on them.
 */
export const awaitPolicy = (policy: Trigger, limit: WatchLimit = {}) =>
  Stage.make(
    "watch",
    (booted: Booted) =>
      Effect.gen(function* () {
        const run = yield* RunContext
        const journal = yield* Journal
        let lost: JournalError | null = null
        const record = (signal: TriggerSignal): Effect.Effect<void> =>
          appendSignal(run.runId, signal).pipe(
            Effect.provideService(Journal, journal),
            Effect.catch((error) =>
              Effect.sync(() => {
                lost ??= error
              })
            )
          )
        const guard = yield* watchGuard(policy, booted.timeline, limit, booted.machine.memoryMib)
        const firing = yield* Effect.raceFirst(
          Effect.provideService(policy.await, GuestTimeline, guard.timeline),
          guard.ended
        ).pipe(Effect.provideService(TriggerSignals, { record }))
        // A decision that could not be replayed is none.
        if (lost !== null) return yield* Effect.fail<JournalError>(lost)
        yield* run.tell({ _tag: "RecordFiring", firing })
        yield* Effect.annotateCurrentSpan({ trigger: firing.trigger, atNanos: firing.atNanos })
        return { ...booted, policy, firing, isFrozen: isFrozenBy(firing) } satisfies Fired
      }),
    {
      check: Effect.succeed(limit.watchLimit === Infinity ? [] : durationProblems("watchLimit", limit.watchLimit))
    }
  )

/** Continues with a firing from elsewhere, such as a policy that repeats. */
export const firedAs = (policy: Trigger, firing: Firing) =>
  Stage.make("watch", (booted: Booted) =>
    Effect.gen(function* () {
      yield* (yield* RunContext).tell({ _tag: "RecordFiring", firing })
      return { ...booted, policy, firing, isFrozen: isFrozenBy(firing) } satisfies Fired
    })
  )
