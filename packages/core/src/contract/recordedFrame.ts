/**
 * The host's requests to the agent, as the events of its input record them.
 *
 * @module
 */
import { frameNameOf } from "./contract.ts"

/** A frame begins with its length; its number follows. */
const numberAt = 4

/** The fields of a `HostInput`. */
export interface RecordedInput {
  readonly kind: string
  readonly data: Uint8Array
}

/** The frame in the host's input; `null` if there is none, or it cannot be determined. */
export const recordedFrame = ({ data, kind }: RecordedInput): ReturnType<typeof frameNameOf> | null => {
  const number = kind === "control" ? data[numberAt] : undefined
  return number === undefined ? null : frameNameOf(number)
}
