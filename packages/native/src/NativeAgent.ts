/**
 * The guest agent that comes with this package.
 *
 * @module
 */
import { GuestAgent, type GuestPlatform } from "@stillpoint/core"
import type { Layer } from "effect"
import { fileURLToPath } from "node:url"

const built = (name: string): string => fileURLToPath(new URL(`../agent/build/${name}`, import.meta.url))

/** Paths of the agent for each platform: static executables, built from `agent/` of this package. */
export const paths: Readonly<Record<GuestPlatform, string>> = { riscv64: built("agent"), amd64: built("agent-amd64") }

/** Path of the agent for guests of the engine `soft`. */
export const path: string = paths.riscv64

/** The agents of this package, for code that builds a guest's root, such as `GuestKit` of `@stillpoint/kit`. */
export const layer: Layer.Layer<GuestAgent> = GuestAgent.layerFiles(
  paths,
  "in a checkout of the repository it is built with: make setup; a package from a registry or a tarball holds it"
)
