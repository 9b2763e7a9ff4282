/**
 * Policies on the moment before the workload, and their laws, whether the agent or the console announces it.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { Firing } from "@stillpoint/core"
import { Effect } from "effect"
import * as fc from "fast-check"
import { afterGuestTime } from "../builtin/afterGuestTime.ts"
import { never } from "../builtin/never.ts"
import { onEvent } from "../builtin/onEvent.ts"
import { onPreExec } from "../builtin/onPreExec.ts"
import { allOf } from "../combinators/allOf.ts"
import { andThen } from "../combinators/andThen.ts"
import { debounce } from "../combinators/debounce.ts"
import { filter } from "../combinators/filter.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { mapCause } from "../combinators/mapCause.ts"
import { named } from "../combinators/named.ts"
import { orElseAfter } from "../combinators/orElseAfter.ts"
import { precedence } from "../combinators/precedence.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import { within } from "../combinators/within.ts"
import type { Policy } from "../Policy.ts"
import { quiescedIfItFits, quiesceOptions } from "./policies.ts"
import { decideBeside } from "./reactingMachine.ts"
import type { LivingGuest, ReactiveGuest } from "./ReactiveGuest.ts"

/**
 * Pre-exec as the agent or the console announces it, with a true or a false hold, inside combinators that pass it on unchanged.
 */
const aroundPreExec: fc.Arbitrary<Policy> = fc
  .tuple(
    fc.constantFrom(
      onPreExec(),
      onPreExec({ console: true }),
      onPreExec({ console: true, consoleHold: "500 millis" }),
      onPreExec({ console: true, consoleHold: "10 millis" })
    ),
    fc.array(
      fc.constantFrom<(of: Policy) => Policy>(
        (of) => firstOf([never, of]),
        (of) => precedence([of, never]),
        (of) => allOf([afterGuestTime(0), of]),
        (of) => andThen(afterGuestTime("1 millis"), of),
        (of) => andThen(onEvent("SerialLine"), of),
        (of) => orElseAfter(never, "1 millis", of),
        (of) => within(of, "10 seconds"),
        (of) => filter(of, "any", () => true),
        (of) => mapCause(of, "as-it-is", (cause) => cause),
        (of) => debounce(of, "5 millis"),
        (of) => quiesce(of, { calmFor: "1 millis", deadline: "5 millis", onDeadline: "capture", activity: [] }),
        (of) => named(of, "named")
      ),
      { maxLength: 3 }
    )
  )
  .map(([leaf, around]) => around.reduce((of, wrap) => wrap(of), leaf))

/** The number of relevant cases in a law about the moment before the workload. */
export interface PreExecCounts {
  /** Decided on the agent's announcement, though the console's had come first. */
  corrected: number
}

/**
 * Whether a line of the console after the agent's announcement caused a decision: it is the workload's own, and a capture refuses
 * it.
 */
const isForged = ({ cause }: Firing, { events }: LivingGuest): boolean =>
  cause._tag === "Event" &&
  cause.event._tag === "SerialLine" &&
  cause.event.seq > (events.find(({ _tag }) => _tag === "WorkloadPreExec")?.seq ?? Infinity)

/**
 * A decision on pre-exec finds a workload that has not executed anything, or that the agent has frozen since; but for those that
 * the workload itself has forged.
 */
export const preExecBeforeTheWorkload = (
  guests: fc.Arbitrary<ReactiveGuest>,
  counts: PreExecCounts = { corrected: 0 }
): fc.IAsyncProperty<unknown> =>
  fc.asyncProperty(aroundPreExec, quiesceOptions, fc.boolean(), guests, async (before, calm, repeats, guest) => {
    const one = quiescedIfItFits(before, calm)
    const { decided, guest: living } = await Effect.runPromise(decideBeside([repeats ? repeat(one) : one], guest))
    for (const { firing, hasStarted } of decided.flatMap(({ firings }) => firings)) {
      const isAnnounced = firing.cause._tag === "Event" && firing.cause.event._tag === "WorkloadPreExec"
      const isTold = JSON.stringify(before.description).includes("consoleHoldNanos") && (guest.marks ?? null) !== null
      if (isAnnounced && isTold) counts.corrected += 1
      if (isForged(firing, living)) continue
      assert.ok(!hasStarted || firing.quiesce?.agent === "frozen", "the workload has been running")
    }
  })
