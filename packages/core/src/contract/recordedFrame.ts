/**
 * What the host said to the agent, as the events of its input record it.
 *
 * @module
 */
import { frameNameOf } from "./contract.ts"

/** A frame begins with its length; its number follows. */
const numberAt = 4

/** What a `HostInput` holds. */
export interface RecordedInput {
  readonly kind: string
  readonly data: Uint8Array
}

/** The frame that input of the host was; `null`: it was none, or none that can be told. */
export const recordedFrame = ({ data, kind }: RecordedInput): ReturnType<typeof frameNameOf> | null => {
  const number = kind === "control" ? data[numberAt] : undefined
  return number === undefined ? null : frameNameOf(number)
}
