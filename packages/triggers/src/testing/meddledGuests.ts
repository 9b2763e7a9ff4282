/**
 * Guests that other parties also freeze and thaw, and the laws of policies that ask the same agent.
 *
 * @module
 */
import { strict as assert } from "node:assert"
import type { GuestNanos } from "@stillpoint/core"
import { Effect, Result } from "effect"
import * as fc from "fast-check"
import { allOf } from "../combinators/allOf.ts"
import { firstOf } from "../combinators/firstOf.ts"
import { quiesce, type QuiesceOptions } from "../combinators/quiesce.ts"
import { atHeartbeat } from "../builtin/atHeartbeat.ts"
import type { Policy } from "../Policy.ts"
import { decisionOn } from "./liveDecision.ts"
import { quiesceOptions } from "./policies.ts"
import { reactingMachine } from "./reactingMachine.ts"
import { LivingGuest, type ReactiveGuest } from "./ReactiveGuest.ts"

/** The other parties' requests to the agent, by guest time, in order. */
type Meddling = ReadonlyArray<readonly [atNanos: GuestNanos, what: "freeze" | "thaw"]>

const meddling: fc.Arbitrary<Meddling> = fc
  .array(fc.tuple(fc.nat(400_000_000), fc.constantFrom("thaw" as const, "thaw" as const, "freeze" as const)), {
    minLength: 3,
    maxLength: 12
  })
  .map((asked) => asked.sort(([a], [b]) => a - b))

/** A guest that another party freezes and thaws meanwhile. */
class MeddledGuest extends LivingGuest {
  private readonly meddling: Meddling
  /** The times of the requests so far. */
  readonly meddledAtNanos: Array<GuestNanos> = []

  constructor(guest: ReactiveGuest, meddling: Meddling) {
    super(guest)
    this.meddling = meddling
  }

  override run(until: Parameters<LivingGuest["run"]>[0]): ReturnType<LivingGuest["run"]> {
    const limit = Math.min(until.atNanos ?? Infinity, this.nowNanos + (until.budgetNanos ?? Infinity))
    const kinds = until.kinds ?? []
    for (;;) {
      const next = this.meddling[this.meddledAtNanos.length]
      if (next === undefined || next[0] >= limit)
        return super.run({ kinds, ...(limit === Infinity ? {} : { atNanos: limit }) })
      const [atNanos, what] = next
      if (atNanos > this.nowNanos) {
        const stop = super.run({ kinds, atNanos })
        if (stop.reason !== "time") return stop
      }
      this.meddledAtNanos.push(this.nowNanos)
      this.request(what)
    }
  }
}

/** A wait for calm that the agent makes, alone, beside another one, or as a part. */
const asking = (leaf: Policy, calm: QuiesceOptions): fc.Arbitrary<Policy> => {
  const asked = { ...calm, agent: "ask" as const }
  const one = quiesce(leaf, asked)
  return fc.constantFrom(one, firstOf([one, quiesce(atHeartbeat(4), asked)]), allOf([one]))
}

/** The number of relevant cases in a law of meddled guests. */
export interface MeddledCounts {
  decided: number
  frozen: number
  settled: number
  /** Meddled with between the trigger's firing and the capture. */
  meddledWith: number
}

/**
 * Whichever party freezes and thaws meanwhile: a workload that a decision calls frozen is frozen, and was for
 * the whole calm.
 */
export const frozenWhoeverMeddles = (
  leaves: fc.Arbitrary<Policy>,
  guests: fc.Arbitrary<ReactiveGuest>,
  counts: MeddledCounts = { decided: 0, frozen: 0, settled: 0, meddledWith: 0 }
): fc.IAsyncProperty<unknown> =>
  fc.asyncProperty(
    fc.tuple(leaves, quiesceOptions).chain(([leaf, calm]) => asking(leaf, calm)),
    guests,
    meddling,
    async (policy, guest, asked) => {
      const living = new MeddledGuest({ ...guest, agent: { ...guest.agent, onFreeze: "freezes" } }, asked)
      const { decision } = await Effect.runPromise(
        Effect.scoped(Effect.flatMap(reactingMachine(living), (machine) => decisionOn(policy, machine)))
      )
      counts.decided += 1
      if (Result.isFailure(decision)) return
      const { atNanos, quiesce: calm } = decision.success
      if (calm === null || calm.agent !== "frozen") return
      counts.frozen += 1
      const { frozenSinceNanos } = living
      assert.ok(frozenSinceNanos !== null, "told as frozen, and is not")
      if (calm.verdict !== "settled") return
      counts.settled += 1
      if (living.meddledAtNanos.some((at) => at > calm.triggeredAtNanos)) counts.meddledWith += 1
      assert.ok(atNanos - frozenSinceNanos >= calm.calmForNanos, `frozen for ${atNanos - frozenSinceNanos} ns only`)
    }
  )
