/**
 * The native addon, loaded once.
 *
 * @module
 */
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { contractHash } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import type * as Addon from "./Addon.ts"
import { decoderContractHash } from "./decodeEvent.ts"

export type NativeAddon = typeof Addon

/** The addon could not be loaded: it was not built, or for another system. */
export class AddonMissing extends Schema.TaggedError<AddonMissing>()("AddonMissing", {
  path: Schema.String,
  /** What the loader said. */
  detail: Schema.String
}) {
  override get message(): string {
    return (
      `expected the native addon for ${process.platform}-${process.arch} at ${this.path}, found none that loads here (${this.detail}); ` +
      "a package holds the one of the system that it was packed on, a checkout builds its own with: make setup"
    )
  }
}

/** Two of the parts that follow the contract of events and frames were built from different ones. */
export class ContractMismatch extends Schema.TaggedError<ContractMismatch>()("ContractMismatch", {
  /** The part that differs. */
  part: Schema.Literals(["addon", "@stillpoint/core"]),
  /** Hash of the contract that this package follows. */
  expected: Schema.String,
  found: Schema.String
}) {
  override get message(): string {
    return (
      `${this.part}: expected the contract ${this.expected.slice(0, 16)} that @stillpoint/native follows, found ${this.found.slice(0, 16)}; ` +
      (this.part === "addon"
        ? "a checkout builds it with: make setup"
        : "install @stillpoint/core and @stillpoint/native of one version")
    )
  }
}

/** Why there is no addon to work with. */
export type AddonError = AddonMissing | ContractMismatch

/** What two parts say of their contract must be the same. */
export const checkContract = (found: Readonly<Record<ContractMismatch["part"], string>>): ContractMismatch | null => {
  for (const part of ["@stillpoint/core", "addon"] as const) {
    if (found[part] !== decoderContractHash)
      return new ContractMismatch({ part, expected: decoderContractHash, found: found[part] })
  }
  return null
}

let loaded: NativeAddon | undefined

const load = (): NativeAddon | AddonError => {
  if (loaded !== undefined) return loaded
  const path = fileURLToPath(new URL("../../stillpoint.node", import.meta.url))
  let addon: NativeAddon
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the declarations are generated from the addon itself
    addon = createRequire(import.meta.url)(path) as NativeAddon
  } catch (cause) {
    return new AddonMissing({ path, detail: cause instanceof Error ? cause.message : String(cause) })
  }
  // One that was built before there was a contract does not know its hash.
  const mismatch = checkContract({
    "@stillpoint/core": contractHash,
    addon: (addon as Partial<NativeAddon>).contractHash?.() ?? "none"
  })
  if (mismatch === null) loaded = addon
  return mismatch ?? addon
}

/** The native addon; fails with what to do. */
export const loadAddon: Effect.Effect<NativeAddon, AddonError> = Effect.suspend(() => {
  const found = load()
  return found instanceof AddonMissing || found instanceof ContractMismatch ? Effect.fail(found) : Effect.succeed(found)
})
