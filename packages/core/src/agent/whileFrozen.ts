/**
 * Work that needs the workload to be frozen, such as a capture.
 *
 * @module
 */
import { Effect } from "effect"
import type { Machine } from "../Vmm.ts"

/**
 * Runs `work` with the workload frozen, and thaws it. If this fails or is interrupted at any moment, the thaw is only requested:
 * the guest gets it before any later request, when it runs next.
 *
 * @example
 * ```ts
 * import { type Machine, whileFrozen } from "@stillpoint/core"
 *
 * export const captured = (machine: Machine, directory: string) => whileFrozen(machine, machine.capture(directory))
 * ```
 */
export const whileFrozen = <A, E, R>({ agent }: Pick<Machine, "agent">, work: Effect.Effect<A, E, R>) =>
  Effect.uninterruptibleMask((restore) =>
    Effect.andThen(
      // A freeze that is given up withdraws itself.
      restore(agent.freeze()),
      Effect.onError(restore(Effect.tap(work, Effect.ignore(agent.thaw()))), () => Effect.ignore(agent.requestThaw))
    )
  )
