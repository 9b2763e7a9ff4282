/**
 * What the host said to the agent, as the events of its input record it.
 *
 * @module
 */
import type { GuestEvent } from "../GuestEvent.ts"
import { frameNameOf } from "../contract/contract.ts"

/** A frame begins with its length; its number follows. */
const numberAt = 4

/** The frame that an event records; `null`: it records none, or none that can be told. */
export const recordedFrame = (event: GuestEvent): ReturnType<typeof frameNameOf> | null => {
  if (event._tag !== "HostInput" || event.kind !== "control") return null
  const number = event.data[numberAt]
  return number === undefined ? null : frameNameOf(number)
}
