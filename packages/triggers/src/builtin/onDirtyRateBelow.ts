import { guestTimeInWords } from "@stillpoint/core"
import type { GuestEvent } from "@stillpoint/core"
import type { Duration } from "effect"
import { requireAll, requireRate } from "../argument.ts"
import { toGuestNanos } from "../guestDuration.ts"
import { Part, type Site } from "../automaton/Part.ts"
import type { Timer } from "../automaton/Timers.ts"
import { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"

/** Samples that are kept apart. Beyond, the two oldest are taken for one at the later time: the rate is overstated, never understated. */
const capacity = 256

/**
 * Fires when the guest has dirtied fewer than `pagesPerSecond` pages a second over a whole window: `onDirtyRateBelow(r, w)(a) =
 * min { t ≥ a + w | Σ { s.count | s is PagesDirtied, t - w < s.at < t } < r · w }`, where a sample at `t` itself also counts if
 * the sample is the present input.
 *
 * - *Same instant*: an old sample leaves the window before a new one at the same nanosecond enters it.
 * - *Already true at arming*: a full window after the arming must have passed.
 * - *No samples*: no sample means that nothing was dirtied, so on a machine without sampling it fires after one window.
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
  const { windowNanos } = requireAll({
    rate: () => requireRate("onDirtyRateBelow.pagesPerSecond", pagesPerSecond),
    windowNanos: () =>
      toGuestNanos("onDirtyRateBelow.window", window) || refuse("onDirtyRateBelow.window", "a duration above 0", "0 ns")
  })
  return new Policy({
    name: `onDirtyRateBelow(${pagesPerSecond} pages/s, ${guestTimeInWords(windowNanos)})`,
    description: { trigger: "onDirtyRateBelow", pagesPerSecond, windowNanos },
    build: (site) => new OnDirtyRateBelow(site, pagesPerSecond, windowNanos)
  })
}

/** The samples of the last window, oldest first, in a ring. */
interface Window {
  readonly atNanos: Float64Array
  readonly counts: Float64Array
  first: number
  length: number
  sum: number
}

class OnDirtyRateBelow extends Part<Window> {
  readonly waitedFor: string
  private readonly windowNanos: number
  private readonly limit: number
  private readonly timer: Timer

  constructor(site: Site, pagesPerSecond: number, windowNanos: number) {
    super(
      site,
      `onDirtyRateBelow(${pagesPerSecond} pages/s, ${guestTimeInWords(windowNanos)})`,
      { atNanos: new Float64Array(capacity), counts: new Float64Array(capacity), first: 0, length: 0, sum: 0 },
      ["PagesDirtied"]
    )
    this.windowNanos = windowNanos
    this.limit = (pagesPerSecond * windowNanos) / 1e9
    this.waitedFor = `fewer than ${pagesPerSecond} pages a second to be dirtied, over ${guestTimeInWords(windowNanos)}`
    this.timer = site.automaton.timers.make(this)
  }

  protected onArm(): void {
    Object.assign(this.memory, { first: 0, length: 0, sum: 0 })
    this.timer.setIn(this.windowNanos)
  }

  protected onDisarm(): void {
    this.timer.clear()
  }

  override onEvent(event: GuestEvent): void {
    if (event._tag !== "PagesDirtied") return
    this.expire()
    this.append(event.count)
    if (this.isLow) this.fireOn(event)
    else this.waitForChange()
  }

  override onTimer(): void {
    this.expire()
    if (this.isLow) this.fireBy(this.timer.cause())
    else this.waitForChange()
  }

  private get isLow(): boolean {
    return this.memory.sum < this.limit && this.automaton.nowNanos >= this.life.armedAtNanos + this.windowNanos
  }

  private waitForChange(): void {
    const { memory, timer, windowNanos } = this
    const full = this.life.armedAtNanos + windowNanos
    if (memory.sum < this.limit) timer.setFor(full)
    else timer.setFor(Math.max(full, (memory.atNanos[memory.first] as number) + windowNanos))
  }

  private expire(): void {
    const { memory, windowNanos } = this
    const { atNanos, counts } = memory
    while (memory.length > 0 && (atNanos[memory.first] as number) + windowNanos <= this.automaton.nowNanos) {
      memory.sum -= counts[memory.first] as number
      memory.first = (memory.first + 1) % capacity
      memory.length -= 1
    }
  }

  private append(count: number): void {
    const { memory } = this
    const { atNanos, counts } = memory
    if (memory.length === capacity) {
      const oldest = counts[memory.first] as number
      memory.first = (memory.first + 1) % capacity
      memory.length -= 1
      counts[memory.first] = (counts[memory.first] as number) + oldest
    }
    const slot = (memory.first + memory.length) % capacity
    atNanos[slot] = this.automaton.nowNanos
    counts[slot] = count
    memory.length += 1
    memory.sum += count
  }

  override progress(): string {
    return `the guest had dirtied ${Math.round((this.memory.sum / this.windowNanos) * 1e9)} pages a second`
  }
}
