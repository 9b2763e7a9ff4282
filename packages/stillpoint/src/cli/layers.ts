/**
 * What verbs need: machines, or only the names of snapshots.
 *
 * @module
 */
import { ProgressDisplay, Snapshots } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { sandboxServices } from "../sandbox/sandboxServices.ts"

export const sandboxes = Effect.provide(sandboxServices())
export const names = Effect.provide(Snapshots.layerHost())

/** Progress where there is a terminal, silence where not. */
export const progress = (json: boolean) => (process.stderr.isTTY && !json ? ProgressDisplay.layer() : Layer.empty)
