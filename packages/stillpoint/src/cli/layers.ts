/**
 * The layers for the verbs: machines, or only the names of snapshots.
 *
 * @module
 */
import { ProgressDisplay, Snapshots } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { sandboxServices } from "../sandbox/sandboxServices.ts"
import { type AskedKeys, readKeys } from "./keys.ts"

/** Machines, with the keys that flags name. */
export const sandboxesWith = (asked: AskedKeys) =>
  Effect.provide(Layer.unwrap(Effect.map(readKeys(asked), (keys) => sandboxServices({ keys }))))
export const sandboxes = sandboxesWith({})

/** Names, with the keys that flags name. */
export const namesWith = (asked: AskedKeys) =>
  Effect.provide(Layer.unwrap(Effect.map(readKeys(asked), Snapshots.layerHost)))
export const names = namesWith({})

/** Progress where there is a terminal, silence where not. */
export const progress = (json: boolean) => (process.stderr.isTTY && !json ? ProgressDisplay.layer() : Layer.empty)
