/**
 * The progress of a trigger in words: one sentence for all reports of a decision or of its absence.
 *
 * @module
 */
import type { TriggerProgress } from "../Firing.ts"
import { oneLine } from "./quoting.ts"

const said = {
  waiting: "was still waiting",
  quiescing: "had fired, and was waiting for calm",
  overtaken: "had fired, and was overtaken while it waited for calm",
  fired: "had fired",
  expired: "was out of time",
  failed: "had failed",
  abandoned: "had fired, and was abandoned for want of calm",
  unarmed: "was not armed yet"
} as const

/** A sentence without its full stop. */
export const progressInWords = ({ progress, status, trigger }: TriggerProgress): string =>
  `${oneLine(trigger)} ${said[status]}${progress === "" ? "" : `: ${oneLine(progress)}`}`
