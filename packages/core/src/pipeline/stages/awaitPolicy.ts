/**
 * The stage that waits for the right moment.
 *
 * @module
 */
import { Effect } from "effect"
import type { Firing } from "../../Firing.ts"
import { GuestTimeline } from "../../GuestTimeline.ts"
import { RunContext } from "../../run/RunContext.ts"
import type { Trigger } from "../../Trigger.ts"
import * as Stage from "../Stage.ts"
import type { Booted } from "./boot.ts"

/** A machine that stands where its policy fired. */
export interface Fired extends Booted {
  readonly policy: Trigger
  readonly firing: Firing
}

/** Lets the guest run until the policy fires. */
export const awaitPolicy = (policy: Trigger) =>
  Stage.make("watch", (booted: Booted) =>
    Effect.gen(function* () {
      const firing = yield* policy.await.pipe(Effect.provideService(GuestTimeline, booted.timeline))
      yield* (yield* RunContext).tell({ _tag: "RecordFiring", firing })
      yield* Effect.annotateCurrentSpan({ trigger: firing.trigger, atNanos: firing.atNanos })
      return { ...booted, policy, firing } satisfies Fired
    })
  )

/** Goes on with a firing that came from elsewhere: from a policy that repeats. */
export const firedAs = (policy: Trigger, firing: Firing) =>
  Stage.make("watch", (booted: Booted) =>
    Effect.gen(function* () {
      yield* (yield* RunContext).tell({ _tag: "RecordFiring", firing })
      return { ...booted, policy, firing } satisfies Fired
    })
  )
