/**
 * Where things stand in the cells of an automaton.
 *
 * ```text
 * header | listeners per kind | sensors | parts, each with its own | due times | times at which they were set
 * ```
 *
 * @module
 */
import { eventKinds } from "./eventKinds.ts"

/** Cells of the automaton itself. */
export const headerCells = {
  now: 0,
  /** Which input is being handled: differs between any two that parts see. */
  ordinal: 1,
  lastSeq: 2,
  /** A lower bound of the next due time. */
  nextDue: 3,
  fired: 4,
  ended: 5,
  /** Timers and signals since the last event or firing, and which event that was. */
  quietSeq: 6,
  quietInputs: 7
} as const

/** Number of armed parts that wait for each kind. */
export const listenerCells = 8

const sensorCells = listenerCells + eventKinds.length

/** What the automaton keeps about the guest. */
export const guestCells = { idleSince: sensorCells, inFlight: sensorCells + 1, frozen: sensorCells + 2 } as const

/** The first cell that a part can have. */
export const firstPartCell: number = sensorCells + 3

/** Cells that every part has, from its base. */
export const partCells = { armed: 0, status: 1, armedAt: 2, armedOrdinal: 3, disarmedAt: 4, own: 5 } as const
