/**
 * Why a machine has the engine that it has.
 *
 * @module
 */
import { Schema } from "effect"

/** The request for an engine, and what decided. `EngineChosen` says the same as an event, manifests and journals as a record. */
export const EngineChoice = Schema.Struct({
  /** What was asked for: a name, or `auto`. */
  requested: Schema.String,
  /** Why it is this engine. */
  reason: Schema.String
})
export type EngineChoice = typeof EngineChoice.Type

/** The record of a choice beside the engine's name; nothing where it was not recorded. */
export const recordedChoice = (engineChoice: EngineChoice | null | undefined): { engineChoice?: EngineChoice } =>
  engineChoice === null || engineChoice === undefined ? {} : { engineChoice }

/**
 * An engine's name and why it is that one; the name alone where that was not recorded.
 *
 * @example
 * ```ts
 * import { engineInWords } from "@stillpoint/core"
 *
 * const choice = { requested: "auto", reason: "the kernel is an x86-64 kernel" }
 * console.log(engineInWords("kvm", choice)) // kvm (auto: the kernel is an x86-64 kernel)
 * ```
 */
export const engineInWords = (engine: string, choice: EngineChoice | null | undefined): string =>
  choice === null || choice === undefined
    ? engine
    : `${engine} (${choice.requested === engine ? "" : `${choice.requested}: `}${choice.reason})`
