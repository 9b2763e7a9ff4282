/**
 * Probes that start and end, or sleep and wake, so often that the guest would not get on.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"

/** Number of times without an event that is tolerated. */
const tolerated = 1000
/** Slower probes than this are tolerated too: they let the guest advance. */
const hasteNanos = 1000
const firstStepNanos = 1_000_000
/** A guest without events for this long may rest forever. */
const longestStepNanos = 20e9

/**
 * Counts how often a policy's probes have kept the guest waiting.
 *
 * Once that was too often, the guest continues whenever they do so again: for a millisecond, and then for twice as long each
 * time, until an event. So an endless loop does not keep a guest from its own end, or from a limit on its time.
 */
export class Restlessness {
  private count = 0
  private lastSeq = -2
  private sinceNanos: GuestNanos = 0
  private stepNanos = firstStepNanos
  private isNotorious = false
  private isNoted = false

  /** A probe has completed, or was woken. */
  note(lastSeq: number, nowNanos: GuestNanos): void {
    if (lastSeq !== this.lastSeq) {
      this.lastSeq = lastSeq
      this.sinceNanos = nowNanos
      this.count = 0
      this.stepNanos = firstStepNanos
    }
    this.count += 1
    this.isNoted = true
    if (this.count > tolerated && nowNanos - this.sinceNanos < this.count * hasteNanos) this.isNotorious = true
  }

  /** Whether the guest must continue, whatever they do. */
  get isTooMuch(): boolean {
    return this.isNotorious && this.isNoted
  }

  /** Whether that does not help either. */
  get isHopeless(): boolean {
    return this.stepNanos > longestStepNanos
  }

  /** For how long; the next time for longer. */
  takeStep(): number {
    this.isNoted = false
    const taken = this.stepNanos
    this.stepNanos *= 2
    return taken
  }
}
