/**
 * The guest agent that comes with this package.
 *
 * @module
 */
import { GuestAgent } from "@stillpoint/core"
import type { Layer } from "effect"
import { fileURLToPath } from "node:url"

/** Path of the agent: a static RISC-V executable, built from `agent/` of this package. */
export const path: string = fileURLToPath(new URL("../agent/build/agent", import.meta.url))

/** The agent of this package, for code that builds a guest's root, such as `GuestKit` of `@stillpoint/kit`. */
export const layer: Layer.Layer<GuestAgent> = GuestAgent.layerFile(
  path,
  "in a checkout of the repository it is built with: make setup; a package from a registry or a tarball holds it"
)
