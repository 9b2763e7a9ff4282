/**
 * The native addon, loaded once.
 *
 * @module
 */
import { statSync } from "node:fs"
import { createRequire } from "node:module"
import { contractHash } from "@stillpoint/core"
import { Effect, Schema } from "effect"
import type * as Addon from "./Addon.ts"
import { builtAddon, hostPlatform, packageOf, prebuiltPlatforms, untestedPlatforms } from "./addonFiles.ts"
import { decoderContractHash } from "./decodeEvent.ts"

export type NativeAddon = typeof Addon

/** The addon could not be loaded: it was not installed, not built, or is for another system. */
export class AddonMissing extends Schema.TaggedError<AddonMissing>()("AddonMissing", {
  /** The host's platform, as packages are named. */
  platform: Schema.String,
  path: Schema.String,
  /** The loader's message. */
  detail: Schema.String
}) {
  override get message(): string {
    const { detail, path, platform } = this
    const expected = `expected the native addon of ${platform} in ${packageOf(platform)} or at ${path}, found none that loads here (${detail})`
    const install = prebuiltPlatforms.includes(platform)
      ? "install stillpoint again with its optional dependencies (no --omit=optional, no lockfile of another platform)"
      : `there is no prebuilt addon for ${platform}, only for ${prebuiltPlatforms.join(", ")}` +
        (untestedPlatforms.includes(platform) ? `; the core compiles for ${platform}, but is untested there` : "")
    return `${expected}; ${install}, or build it in a checkout of the repository: make setup`
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

/** Why the addon cannot be used. */
export type AddonError = AddonMissing | ContractMismatch

/** Two parts must have the same contract. */
export const checkContract = (found: Readonly<Record<ContractMismatch["part"], string>>): ContractMismatch | null => {
  for (const part of ["@stillpoint/core", "addon"] as const) {
    if (found[part] !== decoderContractHash)
      return new ContractMismatch({ part, expected: decoderContractHash, found: found[part] })
  }
  return null
}

let loaded: NativeAddon | undefined

let build = ""

/** Identifies the loaded file, and changes with every change to it. */
export const addonBuild = (): string => build

const sealOf = (path: string): string => {
  const { ctimeNs, ino, mtimeNs, size } = statSync(path, { bigint: true })
  return [ino, size, mtimeNs, ctimeNs].join(" ")
}

const isAbsent = (cause: unknown): boolean =>
  typeof cause === "object" && cause !== null && "code" in cause && cause.code === "MODULE_NOT_FOUND"

/** The addon of the platform's package, or else the one that was built here. */
const firstThatLoads = (): NativeAddon | AddonMissing => {
  const platform = hostPlatform()
  const require = createRequire(import.meta.url)
  const details: Array<string> = []
  for (const from of [packageOf(platform), builtAddon]) {
    try {
      // Taken before loading: a file that replaces it meanwhile has another seal.
      build = sealOf(require.resolve(from))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the declarations are generated from the addon itself
      return require(from) as NativeAddon
    } catch (cause) {
      // A missing package is reported already; a package that does not load needs its own error.
      if (from !== builtAddon && isAbsent(cause)) continue
      const [detail = ""] = (cause instanceof Error ? cause.message : String(cause)).split("\n")
      details.push(detail)
    }
  }
  return new AddonMissing({ platform, path: builtAddon, detail: details.join("; ") })
}

const load = (): NativeAddon | AddonError => {
  if (loaded !== undefined) return loaded
  const found = firstThatLoads()
  if (found instanceof AddonMissing) return found
  const addon = found
  // An addon from before there was a contract has no hash.
  const mismatch = checkContract({
    "@stillpoint/core": contractHash,
    addon: (addon as Partial<NativeAddon>).contractHash?.() ?? "none"
  })
  if (mismatch === null) loaded = addon
  return mismatch ?? addon
}

/** The native addon; fails with a remedy. */
export const loadAddon: Effect.Effect<NativeAddon, AddonError> = Effect.suspend(() => {
  const found = load()
  return found instanceof AddonMissing || found instanceof ContractMismatch ? Effect.fail(found) : Effect.succeed(found)
})
