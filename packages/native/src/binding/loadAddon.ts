/**
 * The native addon, loaded once.
 *
 * @module
 */
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import { Effect, Schema } from "effect"
import type * as Addon from "./Addon.ts"

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

let loaded: NativeAddon | undefined

const load = (): NativeAddon | AddonMissing => {
  if (loaded !== undefined) return loaded
  const path = fileURLToPath(new URL("../../stillpoint.node", import.meta.url))
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the declarations are generated from the addon itself
    loaded = createRequire(import.meta.url)(path) as NativeAddon
    return loaded
  } catch (cause) {
    return new AddonMissing({ path, detail: cause instanceof Error ? cause.message : String(cause) })
  }
}

/** The native addon; fails with the command that builds it. */
export const loadAddon: Effect.Effect<NativeAddon, AddonMissing> = Effect.suspend(() => {
  const found = load()
  return found instanceof AddonMissing ? Effect.fail(found) : Effect.succeed(found)
})
