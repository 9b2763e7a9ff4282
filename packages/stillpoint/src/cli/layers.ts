/**
 * The layers for the verbs: machines, or only the names of snapshots.
 *
 * @module
 */
import { ProgressDisplay, Snapshots } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { sandboxServices } from "../sandbox/sandboxServices.ts"
import { type AskedKeys, readKeys } from "./keys.ts"
import { workLine } from "./workLine.ts"

/** The flags that every verb has. */
interface Asked extends AskedKeys {
  readonly json?: boolean
}

/** Machines, with the keys that the flags name; on a terminal, long operations are reported. */
export const sandboxesWith = ({ json = false, ...asked }: Asked) =>
  Effect.provide(
    Layer.provideMerge(Layer.unwrap(Effect.map(readKeys(asked), (keys) => sandboxServices({ keys }))), workLine(json))
  )
export const sandboxes = sandboxesWith({})

/** Names, with the keys that flags name. */
export const namesWith = ({ json = false, ...asked }: Asked) =>
  Effect.provide(Layer.merge(Layer.unwrap(Effect.map(readKeys(asked), Snapshots.layerHost)), workLine(json)))
export const names = namesWith({})

/** Progress where there is a terminal, silence where not. */
export const progress = (json: boolean) => (process.stderr.isTTY && !json ? ProgressDisplay.layer() : Layer.empty)
