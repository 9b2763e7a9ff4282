/**
 * The engines that machines can name.
 *
 * @module
 */
import { BootError, type BootReason } from "@stillpoint/core"
import { Effect } from "effect"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"
import { call } from "./machine/NativeMachine.ts"

/** What can be said of an engine on this host. */
export interface EngineReport {
  /** The name that `BootSpec.engine` has for it. */
  readonly name: string
  /** Name of its board: what kernels and payloads are for. */
  readonly board: string
  readonly isUsable: boolean
  /** Why this host cannot use it, or what is to be known where it can. */
  readonly detail: string | null
}

/**
 * Every engine, the one first that is taken where none is named. Looking costs milliseconds the first time: an engine that
 * depends on the host runs a small guest.
 *
 * @example
 * ```ts
 * import { engines } from "@stillpoint/native"
 * import { Effect } from "effect"
 *
 * export const usable = Effect.map(engines, (all) => all.filter(({ isUsable }) => isUsable).map(({ name }) => name))
 * ```
 */
export const engines: Effect.Effect<ReadonlyArray<EngineReport>, AddonError | BootError> = Effect.flatMap(
  loadAddon,
  (native) =>
    call<ReadonlyArray<EngineReport>, BootError, BootReason>(
      () => native.engineReports(),
      (reason) => new BootError({ reason })
    )
)
