/**
 * The freezes that the policies on one machine hold.
 *
 * @module
 */
import { Effect } from "effect"
import type { MachineError } from "../MachineErrors.ts"
import type { Machine } from "../Vmm.ts"

/** What one policy may ask for. */
export interface FreezeClaim {
  /** Asks the agent to freeze the workload, whether somebody else has or not: its answer is for this one. */
  readonly request: Effect.Effect<void, MachineError>
  /** Gives it back: the agent thaws the workload once nobody holds it. Nothing, where nothing was asked for. */
  readonly giveBack: Effect.Effect<void, MachineError>
}

/** Keeps apart what the policies on a machine hold: none of them thaws what another one has frozen. */
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
