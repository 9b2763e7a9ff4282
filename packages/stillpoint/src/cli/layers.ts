/**
 * What verbs need: machines, or only the names of snapshots.
 *
 * @module
 */
import { progressDisplay, Snapshots } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { stillpointLayer } from "../sandbox/stillpointLayer.ts"

export const sandboxes = Effect.provide(stillpointLayer())
export const names = Effect.provide(Snapshots.layerHost())

/** Progress where there is a terminal, silence where not. */
export const progress = (json: boolean) => (process.stderr.isTTY && !json ? progressDisplay() : Layer.empty)
