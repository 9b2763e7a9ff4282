/**
 * The host memory that all guests of this process share.
 *
 * @module
 */
import { describeValue } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"

/** Host memory of all guests of this process. */
export interface GuestMemory {
  /** Bytes of pages that they wrote, shared ones counted once. */
  readonly inUseBytes: number
  /** Bytes that they may hold; by default, seven eighths of the memory of the host or of this process's control group. */
  readonly limitBytes: number
}

/** A limit that is none. */
export class GuestMemoryLimitInvalid extends Schema.TaggedError<GuestMemoryLimitInvalid>()("GuestMemoryLimitInvalid", {
  found: Schema.String
}) {
  override get message(): string {
    return `limit of guest memory: expected a number of bytes from 0 to 2^53 - 1, found ${this.found}`
  }
}

/** The host memory that the guests of this process hold, and its limit. */
export const guestMemory: Effect.Effect<GuestMemory, AddonError> = Effect.map(loadAddon, (native) => ({
  inUseBytes: native.guestMemoryBytes(),
  limitBytes: native.guestMemoryLimitBytes()
}))

/**
 * Limits the host memory that all guests of this process hold together, so that a thousand clones do not take the host down.
 *
 * A guest that needs another page then faults, and only that one: its run ends with `fault` and an `EngineFault` event that names
 * the limit; an `ExecError` or a `GateError` on the way says the same. A boot or restore fails with reason `MemoryExhausted`. Machines that hold more already keep it. The limit holds until it is set again.
 *
 * @example
 * ```ts
 * import { guestMemory, limitGuestMemory } from "@stillpoint/native"
 * import { Effect } from "effect"
 *
 * export const modest = Effect.andThen(limitGuestMemory(2 * 2 ** 30), guestMemory)
 * ```
 */
export const limitGuestMemory = (bytes: number): Effect.Effect<void, GuestMemoryLimitInvalid | AddonError> =>
  Number.isSafeInteger(bytes) && bytes >= 0
    ? Effect.map(loadAddon, (native) => native.limitGuestMemory(bytes))
    : Effect.fail(new GuestMemoryLimitInvalid({ found: describeValue(bytes) }))
