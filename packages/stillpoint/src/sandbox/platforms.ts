/**
 * The platform of a sandbox's guest: which of an image's is taken, and why.
 *
 * ```text
 *  asked for        this host runs Linux under KVM      it does not
 *  auto             linux/amd64, else linux/riscv64     linux/riscv64
 *  linux/amd64      linux/amd64                         refused, with what is missing
 *  linux/riscv64    linux/riscv64                       linux/riscv64
 * ```
 *
 * @module
 */
import type { GuestPlatform } from "@stillpoint/core"
import { type ImageError, Images, type ResolvedImage, type ResolveOptions } from "@stillpoint/images"
import { type AddonError, type EngineReport, engines } from "@stillpoint/native"
import { Context, Effect } from "effect"
import { PlatformUnusable } from "./SandboxError.ts"

/** The platforms that a sandbox can ask for. */
export const platformNames = ["auto", "linux/riscv64", "linux/amd64"] as const

/** The platform of a sandbox's guest; `auto`: the one of the image's that this host runs best. */
export type PlatformName = (typeof platformNames)[number]

/** Reports on this host's engines. */
export const HostEngines = Context.Reference<Effect.Effect<ReadonlyArray<EngineReport>, unknown>>(
  "stillpoint/sandbox/HostEngines",
  { defaultValue: () => engines }
)

/** Why this host does not run guests of amd64; `null` if it does. */
export const amd64Obstacle: Effect.Effect<string | null> = Effect.gen(function* () {
  const all = yield* Effect.orElseSucceed(yield* HostEngines, () => [])
  const engine = all.find(({ board }) => board === "x86_64")
  // An engine that can be used and has a remark does not run every guest.
  return engine === undefined ? "this build has no engine for it" : engine.detail
})

/** The platform of a guest, and why it is that one; `null` where there was no choice. */
export interface ChosenPlatform {
  readonly platform: GuestPlatform
  readonly reason: string | null
}

const asked: Readonly<Record<Exclude<PlatformName, "auto">, ChosenPlatform>> = {
  "linux/riscv64": { platform: "riscv64", reason: null },
  "linux/amd64": { platform: "amd64", reason: null }
}

/** The platform of a guest that is the same on each; every host runs the first. */
export const platformOfKit = Effect.fnUntraced(function* (image: string, name: PlatformName) {
  if (name !== "linux/amd64") return asked["linux/riscv64"]
  const obstacle = yield* amd64Obstacle
  return obstacle === null
    ? asked[name]
    : yield* new PlatformUnusable({ image, found: `${image} for linux/amd64`, why: obstacle })
})

const isMissing = (error: ImageError | AddonError): error is ImageError =>
  error._tag === "ImageError" && error.reason._tag === "PlatformMissing"

/** An image for a platform that this host runs. */
export const imageFor = Effect.fnUntraced(function* (
  image: string,
  name: PlatformName,
  options: Omit<ResolveOptions, "platform">
): Effect.fn.Return<ChosenPlatform & { readonly resolved: ResolvedImage }, ImageError | PlatformUnusable, Images> {
  const { resolve } = yield* Images
  const on = (chosen: ChosenPlatform) =>
    Effect.map(resolve(image, { ...options, platform: `linux/${chosen.platform}` }), (resolved) => ({
      ...chosen,
      resolved
    }))
  if (name === "linux/riscv64") return yield* on(asked[name])
  const obstacle = yield* amd64Obstacle
  if (name === "linux/amd64") {
    if (obstacle === null) return yield* on(asked[name])
    return yield* new PlatformUnusable({ image, found: `${image} for linux/amd64`, why: obstacle })
  }
  if (obstacle !== null) {
    return yield* on({ platform: "riscv64", reason: `this host does not run linux/amd64: ${obstacle}` }).pipe(
      Effect.catchIf(isMissing, ({ message }) =>
        Effect.fail(new PlatformUnusable({ image, found: message, why: obstacle }))
      )
    )
  }
  return yield* on({ platform: "amd64", reason: "this host runs linux/amd64, under KVM" }).pipe(
    Effect.catchIf(isMissing, () => on({ platform: "riscv64", reason: "the image has no linux/amd64" }))
  )
})
