/**
 * The identity of a booted kit's guest: its randomness and its clock.
 *
 * @module
 */
import { IdentityEntropy, type Machine, renewalOf } from "@stillpoint/core"
import { Effect } from "effect"
import { createHash } from "node:crypto"

/** Wall-clock time of the kit's first instruction, milliseconds since 1970: the machine's default. */
export const bootedEpochMillis = 1_735_689_600_000

/**
 * A machine whose devices are reseeded from a seed, and whose clocks show the time as if it had been booted at `epochMillis`.
 */
export const givenIdentity = Effect.fnUntraced(function* (
  machine: Machine,
  seed: number | null,
  epochMillis: number | undefined
) {
  const draw = yield* IdentityEntropy
  const entropy =
    seed === null
      ? draw(64)
      : new Uint8Array(createHash("sha512").update(`guest of a booted kit, seed ${seed}`).digest())
  const realtimeNanos = BigInt(epochMillis ?? bootedEpochMillis) * 1_000_000n + BigInt(yield* machine.nowNanos)
  yield* machine.renew({ ...renewalOf({ entropy, hostname: null, machineId: null, env: {} }), realtimeNanos })
  if (epochMillis !== undefined) yield* machine.agent.setClock(realtimeNanos)
})
