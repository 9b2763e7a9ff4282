/**
 * Why a snapshot is what it is.
 *
 * @module
 */
import { engineInWords, explain, firingOf, oneLine, type Snapshot } from "@stillpoint/core"
import { platformInWords } from "./imageSpec.ts"

/** Why a snapshot was taken at that moment, and why it ran on its engine, from its manifest; `null` if no policy decided. */
export const explainSnapshot = ({ manifest }: Pick<Snapshot, "manifest">): string | null => {
  const firing = firingOf(manifest.provenance)
  if (firing === null) return null
  const { engine, engineChoice } = manifest
  const ran = engineChoice === undefined ? null : `It ran on engine ${oneLine(engineInWords(engine, engineChoice))}.`
  const said = [explain(firing).text, platformInWords(manifest), ran]
  return said.filter((sentence) => sentence !== null).join("\n")
}
