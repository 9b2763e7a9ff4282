import { makeRegistry } from "@stillpoint/triggers"
import { onFileExists } from "./onFileExists.ts"
import { onWritesSettled } from "./onWritesSettled.ts"

export { onFileExists, onWritesSettled }
export * from "./WriteReported.ts"

/** The parts of this package, for reading policies from JSON. */
export const registry = makeRegistry({ triggers: [onWritesSettled], probes: [onFileExists] })
