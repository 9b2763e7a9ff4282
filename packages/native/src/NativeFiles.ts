/**
 * The host's files with what Node does not reach: directories that change places in one step.
 *
 * @module
 */
import { DurableFiles, FileFault } from "@stillpoint/core"
import { Effect, Layer } from "effect"
import { getSystemErrorName } from "node:util"
import { type AddonError, loadAddon } from "./binding/loadAddon.ts"

/** The operating system's name of an error from its number. */
const codeOf = (number: string): string => {
  try {
    return getSystemErrorName(-Number(number))
  } catch {
    return number
  }
}

/**
 * Core's `DurableFiles` with exchange: a snapshot that is replaced is the old one or the new one at every moment, for whoever looks.
 *
 * On a file system that cannot exchange, a replacement is two renames, as with core's own layer.
 *
 * @example
 * ```ts
 * import { SnapshotStore } from "@stillpoint/core"
 * import { NativeFiles } from "@stillpoint/native"
 * import { Layer } from "effect"
 *
 * export const store = Layer.provide(SnapshotStore.layer, NativeFiles.layer)
 * ```
 */
export const layer: Layer.Layer<DurableFiles, AddonError> = Layer.effect(
  DurableFiles,
  Effect.gen(function* () {
    const files = yield* DurableFiles
    const native = yield* loadAddon
    const exchange = (one: string, other: string) =>
      Effect.flatMap(
        Effect.promise(() => native.exchange(one, other)),
        (outcome) =>
          typeof outcome === "boolean"
            ? Effect.succeed(outcome)
            : Effect.fail(new FileFault({ operation: "exchange", path: one, code: codeOf(outcome.name) }))
      )
    return { ...files, exchange }
  })
).pipe(Layer.provide(DurableFiles.layer))
