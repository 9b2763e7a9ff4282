/**
 * Kinds of guest events by number.
 *
 * @module
 */
import { type GuestEventKind, guestEventKinds, guestEventNumber } from "@stillpoint/core"

/** Every kind, in the order in which its number counts. */
export const eventKinds: ReadonlyArray<GuestEventKind> = guestEventKinds

/** The number of every kind that this build does not know. No trigger is interested in it. */
export const unknownKind: number = eventKinds.length

/** The number of a kind; {@link unknownKind} for one that this build does not know. */
export const kindNumber = guestEventNumber
