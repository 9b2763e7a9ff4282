import { guestTimeInWords } from "@stillpoint/core"
import type { GuestEvent } from "@stillpoint/core"
import type { Duration } from "effect"
import { toGuestNanos } from "../guestDuration.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"

/** Samples that are kept apart. Beyond, the two oldest are taken for one at the later time: the rate is overstated, never understated. */
const capacity = 256

/**
 * Fires when the guest dirties fewer pages a second than `pagesPerSecond`, over a whole window:
 * `onDirtyRateBelow(r, w)(a) = min { t ≥ a + w | Σ { s.count | s is PagesDirtied, t - w < s.at < t } < r · w }`,
 * where a sample at `t` itself counts too if `t` is the time of the sample that is being looked at.
 *
 * - *Same instant*: a sample leaves the window before one that comes at the same nanosecond enters it.
 * - *Already true at arming*: a full window after the arming must have passed.
 * - *No samples*: none means that nothing was dirtied. A machine that does not sample fires it after one window.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onDirtyRateBelow } from "@stillpoint/triggers"
 *
 * console.log(onDirtyRateBelow(2000, "100 millis").name) // onDirtyRateBelow(2000 pages/s, 100 ms)
 * ```
 */
export const onDirtyRateBelow = (pagesPerSecond: number, window: Duration.Input): Policy => {
  if (!Number.isFinite(pagesPerSecond) || pagesPerSecond <= 0) {
    refuse("onDirtyRateBelow.pagesPerSecond", "a number above 0", pagesPerSecond)
  }
  const windowNanos = toGuestNanos("onDirtyRateBelow.window", window)
  if (windowNanos === 0) refuse("onDirtyRateBelow.window", "a duration above 0", "0 ns")
  return new Policy({
    name: `onDirtyRateBelow(${pagesPerSecond} pages/s, ${guestTimeInWords(windowNanos)})`,
    description: { trigger: "onDirtyRateBelow", pagesPerSecond, windowNanos },
    holdNanos: null,
    build: (site) => new OnDirtyRateBelow(site, pagesPerSecond, windowNanos)
  })
}

const firstCell = 0
const lengthCell = 1
const sumCell = 2
const samplesBase = 3

class OnDirtyRateBelow extends Part {
  readonly waitedFor: string
  private readonly windowNanos: number
  private readonly limit: number
  private readonly timer: number

  constructor(site: Site, pagesPerSecond: number, windowNanos: number) {
    super(
      site,
      `onDirtyRateBelow(${pagesPerSecond} pages/s, ${guestTimeInWords(windowNanos)})`,
      samplesBase + 2 * capacity,
      ["PagesDirtied"]
    )
    this.windowNanos = windowNanos
    this.limit = (pagesPerSecond * windowNanos) / 1e9
    this.waitedFor = `fewer than ${pagesPerSecond} pages a second to be dirtied, over ${guestTimeInWords(windowNanos)}`
    this.timer = site.automaton.timers.allocate(this)
  }

  protected onArm(): void {
    this.setCell(firstCell, 0)
    this.setCell(lengthCell, 0)
    this.setCell(sumCell, 0)
    this.automaton.timers.set(this.timer, this.automaton.now + this.windowNanos)
  }

  protected onDisarm(): void {
    this.automaton.timers.clear(this.timer)
  }

  override onEvent(event: GuestEvent): void {
    if (event._tag !== "PagesDirtied") return
    this.expire()
    this.append(event.count)
    this.decide()
  }

  override onTimer(): void {
    this.expire()
    this.decide()
  }

  private decide(): void {
    const { automaton } = this
    const full = this.armedAtNanos + this.windowNanos
    if (this.cell(sumCell) < this.limit) {
      if (automaton.now >= full) this.fire()
      else automaton.timers.set(this.timer, full)
      return
    }
    automaton.timers.set(this.timer, Math.max(full, this.at(0) + this.windowNanos))
  }

  private expire(): void {
    while (this.cell(lengthCell) > 0 && this.at(0) + this.windowNanos <= this.automaton.now) {
      this.setCell(sumCell, this.cell(sumCell) - this.count(0))
      this.setCell(firstCell, (this.cell(firstCell) + 1) % capacity)
      this.setCell(lengthCell, this.cell(lengthCell) - 1)
    }
  }

  private append(count: number): void {
    if (this.cell(lengthCell) === capacity) {
      const merged = this.count(0) + this.count(1)
      this.setCell(firstCell, (this.cell(firstCell) + 1) % capacity)
      this.setCell(lengthCell, capacity - 1)
      this.setCell(samplesBase + 2 * this.cell(firstCell) + 1, merged)
    }
    const slot = (this.cell(firstCell) + this.cell(lengthCell)) % capacity
    this.setCell(samplesBase + 2 * slot, this.automaton.now)
    this.setCell(samplesBase + 2 * slot + 1, count)
    this.setCell(lengthCell, this.cell(lengthCell) + 1)
    this.setCell(sumCell, this.cell(sumCell) + count)
  }

  private at(index: number): number {
    return this.cell(samplesBase + 2 * ((this.cell(firstCell) + index) % capacity))
  }

  private count(index: number): number {
    return this.cell(samplesBase + 2 * ((this.cell(firstCell) + index) % capacity) + 1)
  }

  override progress(): string {
    return `${Math.round((this.cell(sumCell) / this.windowNanos) * 1e9)} pages a second`
  }
}
