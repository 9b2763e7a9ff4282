/**
 * The freezes that the policies on one machine hold.
 *
 * @module
 */
import { Effect } from "effect"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine } from "../Vmm.ts"

/** The freeze requests of one policy. */
export interface FreezeClaim {
  /** Asks the agent to freeze the workload, even if another policy has, since each needs its own answer. */
  readonly request: Effect.Effect<void, MachineError>
  /**
   * Withdraws the request: the agent thaws the workload once no policy requires the freeze. Does nothing
   * without a request.
   */
  readonly giveBack: Effect.Effect<void, MachineError>
}

/** Tracks which policies on a machine require the freeze, so that none thaws what another has frozen. */
export const freezeClaims = (machine: Machine): { readonly join: () => FreezeClaim } => {
  const holders = new Set<FreezeClaim>()
  return {
    join: () => {
      const claim: FreezeClaim = {
        request: Effect.suspend(() => {
          holders.add(claim)
          return Effect.asVoid(machine.agent.requestFreeze)
        }),
        giveBack: Effect.suspend(() =>
          holders.delete(claim) && holders.size === 0 ? Effect.asVoid(machine.agent.requestThaw) : Effect.void
        )
      }
      return claim
    }
  }
}
