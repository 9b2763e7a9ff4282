/**
 * The identity that makes one clone of a snapshot distinct from the next.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto"
import { Context, Effect } from "effect"
import type { Secret } from "../Secret.ts"
import type { Renewal } from "../Vmm.ts"

/** Parts of a new identity that the caller chooses; absent parts are drawn. */
export interface IdentityChoice {
  /** At least 32 bytes for the kernel's random source; 64 drawn bytes if absent. */
  readonly entropy?: Uint8Array
  /** Wall-clock time, nanoseconds since 1970; the host's if absent; `null` leaves the guest's clock as captured. */
  readonly realtimeNanos?: bigint | null
  /** Host name; `clone-` and eight drawn digits if absent; `null` leaves the captured one. */
  readonly hostname?: string | null
  /** 32 lower-case hexadecimal digits; drawn if absent; `null` leaves the captured one. */
  readonly machineId?: string | null
  /** Environment for programs that start from now on. */
  readonly env?: Readonly<Record<string, Secret<string>>>
}

/** The source of randomness: the host's cryptographic source by default; tests replace it. */
export const IdentityEntropy = Context.Reference<(sizeBytes: number) => Uint8Array>(
  "@stillpoint/core/gate/IdentityEntropy",
  { defaultValue: () => (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)) }
)

/** An identity without its clock, which is read at the last moment. */
export interface DrawnIdentity {
  readonly entropy: Uint8Array
  readonly hostname: string | null
  readonly machineId: string | null
  readonly env: Readonly<Record<string, Secret<string>>>
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** Draws the parts that the caller did not choose. */
export const drawIdentity = (choice: IdentityChoice): Effect.Effect<DrawnIdentity> =>
  Effect.map(IdentityEntropy, (draw) => ({
    entropy: choice.entropy ?? draw(64),
    hostname: choice.hostname === undefined ? `clone-${hex(draw(4))}` : choice.hostname,
    machineId: choice.machineId === undefined ? hex(draw(16)) : choice.machineId,
    env: choice.env ?? {}
  }))

const derived = (entropy: Uint8Array, purpose: string): Uint8Array =>
  new Uint8Array(createHash("sha512").update(purpose).update(entropy).digest())

/** The seeds for the devices, derived from the identity's entropy, so that clones with equal identities are equal. */
export const renewalOf = ({ entropy }: DrawnIdentity): Pick<Renewal, "entropySeed" | "generationId"> => ({
  entropySeed: derived(entropy, "devices"),
  generationId: derived(entropy, "generation").subarray(0, 16)
})
