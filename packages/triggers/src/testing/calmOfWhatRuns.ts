/**
 * The calm of a workload for policies that do not freeze it, beside policies that do.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { GuestEvent } from "@stillpoint/core"
import { Effect } from "effect"
import * as fc from "fast-check"
import { firstOf } from "../combinators/firstOf.ts"
import { quiesce } from "../combinators/quiesce.ts"
import { repeat } from "../combinators/repeat.ts"
import type { Policy } from "../Policy.ts"
import { quiesceOptions } from "./policies.ts"
import { decideBeside } from "./reactingMachine.ts"
import type { ReactiveGuest } from "./ReactiveGuest.ts"

/** The number of relevant cases. */
export interface RunningCounts {
  settled: number
  /** Cases in which the workload was frozen during the wait. */
  frozenMeanwhile: number
}

/**
 * A quiesce that does not ask the agent settles only on the calm of a running workload, even if others freeze it
 * meanwhile.
 */
export const calmIsOfWhatRuns = (
  leaves: fc.Arbitrary<Policy>,
  guests: fc.Arbitrary<ReactiveGuest>,
  counts: RunningCounts = { settled: 0, frozenMeanwhile: 0 }
): fc.IAsyncProperty<unknown> =>
  fc.asyncProperty(
    fc.tuple(leaves, quiesceOptions, leaves, quiesceOptions),
    fc.constantFrom("one-policy", "side-by-side", "frozen-again-and-again"),
    guests,
    async ([leaf, calm, frozenLeaf, frozenCalm], how, guest) => {
      const runs = quiesce(leaf, { ...calm, agent: "none" })
      const freezes = quiesce(frozenLeaf, { ...frozenCalm, agent: "ask" })
      const policies =
        how === "one-policy" ? [firstOf([runs, freezes])] : [how === "side-by-side" ? freezes : repeat(freezes), runs]
      const { decided, guest: living } = await Effect.runPromise(decideBeside(policies, guest))
      for (const { firing } of decided.at(-1)?.firings ?? []) {
        const { quiesce: found } = firing
        if (found?.agent !== "not-asked" || found.verdict !== "settled" || found.calmForNanos === 0) continue
        const over = found.triggeredAtNanos + found.waitedNanos
        const since = over - found.calmNanos
        // A thaw of a workload that is not frozen changes nothing.
        const told = living.events.filter(({ _tag }) => _tag === "AgentFrozen" || _tag === "AgentThawed")
        const isFreezeWithin = ({ _tag, atNanos }: GuestEvent, from: number): boolean =>
          _tag === "AgentFrozen" && atNanos > from && atNanos < over
        counts.settled += 1
        if (told.some((event) => isFreezeWithin(event, found.triggeredAtNanos))) counts.frozenMeanwhile += 1
        assert.notEqual(told.findLast(({ atNanos }) => atNanos <= since)?._tag, "AgentFrozen", "it stood still")
        assert.ok(!told.some((event) => isFreezeWithin(event, since)), "it was frozen during its calm")
      }
    }
  )
