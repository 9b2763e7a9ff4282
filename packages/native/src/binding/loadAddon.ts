/**
 * The native addon, loaded once.
 *
 * @module
 */
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"
import type * as Addon from "./Addon.ts"

export type NativeAddon = typeof Addon

/** The addon could not be loaded: it was not built, or for another system. */
export class AddonMissing extends Error {
  override readonly name = "AddonMissing"
}

let loaded: NativeAddon | undefined

/**
 * The native addon.
 *
 * @throws AddonMissing with the command that builds it
 */
export const loadAddon = (): NativeAddon => {
  if (loaded !== undefined) return loaded
  const path = fileURLToPath(new URL("../../stillpoint.node", import.meta.url))
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the declarations are generated from the addon itself
    loaded = createRequire(import.meta.url)(path) as NativeAddon
  } catch (cause) {
    throw new AddonMissing(
      `expected the native addon for ${process.platform}-${process.arch} at ${path}, found none that loads here; ` +
        "a package holds the one of the system that it was packed on, a checkout builds its own with: make setup",
      { cause }
    )
  }
  return loaded
}
