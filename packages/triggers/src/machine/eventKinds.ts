/**
 * Kinds of guest events as small numbers, so that a set of kinds is one machine word.
 *
 * @module
 */
import { GuestEvent, type GuestEventKind } from "@stillpoint/core"

/** Every kind, in the order in which its number counts. */
export const eventKinds: ReadonlyArray<GuestEventKind> = Object.keys(GuestEvent.cases) as Array<GuestEventKind>

const numbers: ReadonlyMap<string, number> = new Map(eventKinds.map((kind, number) => [kind, number]))

/** The number of a kind; `unknownKind` for one that this build does not know. */
export const kindNumber = (kind: string): number => numbers.get(kind) ?? unknownKind

/** The number of every kind that this build does not know. No trigger is interested in it. */
export const unknownKind: number = eventKinds.length

/** The set of some kinds. */
export const kindSet = (kinds: ReadonlyArray<GuestEventKind>): number =>
  kinds.reduce((set, kind) => set | (1 << kindNumber(kind)), 0)

/** The kinds of a set, in order. */
export const kindsOf = (set: number): ReadonlyArray<GuestEventKind> =>
  eventKinds.filter((_, number) => ((set >>> number) & 1) === 1)
