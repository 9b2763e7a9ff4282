/**
 * Probes that start and end, or sleep and wake, so often that the guest would not get on.
 *
 * @module
 */
import type { GuestNanos } from "@stillpoint/core"

/** As often as this without an event is nobody's business. */
const tolerated = 1000
/** Nor is what is slower than this: it lets the guest get on. */
const hasteNanos = 1000
const firstStepNanos = 1_000_000
/** A guest of which nothing is heard for that long may rest for ever. */
const longestStepNanos = 20e9

/**
 * How often a policy's probes have kept the guest waiting.
 *
 * Once that was too often, the guest goes on whenever they do so again: for a millisecond, and then for twice as long each time,
 * until an event. A loop without an end then does not keep a guest from its own end, or from a limit on its time.
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

  /** Whether the guest is to go on, whatever they do. */
  get isTooMuch(): boolean {
    return this.isNotorious && this.isNoted
  }

  /** Whether that does not help, either. */
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
