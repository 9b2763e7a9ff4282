/**
 * Kinds of guest events as small numbers, and sets of them as one byte a kind.
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

/** A set of kinds: 1 at the number of each that is in it. However many kinds there are, looking one up is one load. */
export type KindSet = Uint8Array

/** The set of some kinds. */
export const kindSet = (kinds: Iterable<GuestEventKind>): KindSet => {
  const set = new Uint8Array(eventKinds.length + 1)
  for (const kind of kinds) set[kindNumber(kind)] = 1
  return set
}

/** The kinds of a set, in order. */
export const kindsOf = (set: KindSet): ReadonlyArray<GuestEventKind> =>
  eventKinds.filter((_, number) => set[number] === 1)
