/**
 * The engines that machines can name.
 *
 * @module
 */
import { BootError, type BootReason } from "@stillpoint/core"
import { Effect } from "effect"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"
import { call } from "./machine/NativeMachine.ts"

/** An engine and its state on this host. */
export interface EngineReport {
  /** Its name in `BootSpec.engine`. */
  readonly name: string
  /** Name of its board, for which kernels and payloads are built. */
  readonly board: string
  readonly isUsable: boolean
  /** Why this host cannot use it, or if it can, why it does not run every guest; `null` if it runs every guest. */
  readonly detail: string | null
}

/**
 * Every engine, beginning with the default. The first call takes some milliseconds, since an engine that depends on the host
 * runs a small guest.
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
