/**
 * The number of times that a timer may go off, so that guest time advances.
 *
 * Over any stretch of guest time a timer may go off 2,000 times, once more for every 10 µs, and a hundred times more for each
 * event. Within this the guest advances; each timer has its own allowance. A timer that exceeds it is reported, at the 2,001st
 * time beyond what it has earned.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"

/** Guest time by which one is earned: who wakes that often and no oftener may do so for ever. */
const wakeNanos = 10_000

/** Guest time that an event counts for: there may be much to do at it. */
const eventNanos = 100 * wakeNanos

/** Number of times in advance. */
const mostWakesAhead = 2000

/** In a row without an event or firing, however far apart: at 10 ms, a day. */
const mostQuietWakes = 10_000_000

/** The use of one timer's allowance. Its counts decide only whether there were too many. */
export interface WakesUsed {
  wokeSeq: number
  wokeAtNanos: GuestNanos
  /** Guest time that was not earned yet. */
  aheadCount: number
  quietCount: number
}

/** A timer that has not gone off. */
export const noWakesUsed: WakesUsed = { wokeSeq: -1, wokeAtNanos: 0, aheadCount: 0, quietCount: 0 }

/** Notes that it goes off; returns the expectation that it broke, in words, if that was too often. */
export const useWake = (used: WakesUsed, nowNanos: GuestNanos, lastSeq: number): string | null => {
  const earnedNanos = nowNanos - used.wokeAtNanos + eventNanos * (lastSeq - used.wokeSeq)
  if (used.wokeSeq !== lastSeq) used.quietCount = 0
  used.quietCount += 1
  used.aheadCount = Math.max(0, used.aheadCount - earnedNanos) + wakeNanos
  used.wokeSeq = lastSeq
  used.wokeAtNanos = nowNanos
  if (used.aheadCount > mostWakesAhead * wakeNanos) {
    return `a timer that lets guest time advance, found one that went off ${mostWakesAhead} times more than every ${wakeNanos / 1000} µs`
  }
  return used.quietCount > mostQuietWakes
    ? `an event or a firing, found a timer that went off ${mostQuietWakes} times without either`
    : null
}

/** Gives a timer its whole allowance back. */
export const refillWakes = (used: WakesUsed): void => {
  used.aheadCount = 0
  used.quietCount = 0
}
