import type { GuestEvent } from "@stillpoint/core"
import { optional, requireAll, requireCount, requireFlag, requireOptions } from "../argument.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/** Sources of heartbeats. */
export interface HeartbeatOptions {
  /**
   * Also accept console lines that contain `heartbeat counter=N`, for a foreign init without a control port. Any process that can
   * write to the console can then fire the trigger.
   */
  readonly console?: boolean
}

/**
 * Fires once the guest's heartbeat count has reached `n`:
 * `atHeartbeat(n)(a) = min { e.at | e after a, e is HeartbeatTick, e.count ≥ n }`.
 *
 * - *Same instant*: of several ticks, the one with the lowest `seq`.
 * - *Already true at arming*: it fires at the next tick, not at once, so the guest first shows that it is alive.
 * - *A tick is missing*: a later tick with a higher count fires it.
 * - *Guest ends first*, or its heartbeat stops: never fires.
 *
 * @example
 * ```ts
 * import { atHeartbeat } from "@stillpoint/triggers"
 *
 * console.log(atHeartbeat(3).name) // atHeartbeat(3)
 * ```
 */
export const atHeartbeat = (count: number, options: HeartbeatOptions = {}): Policy => {
  const {
    read: { console = false }
  } = requireAll({
    count: () => requireCount("atHeartbeat", count),
    read: () => requireOptions("atHeartbeat", options, { console: optional(requireFlag) })
  })
  return new Policy({
    name: `atHeartbeat(${count})`,
    description: { trigger: "atHeartbeat", count, ...(console ? { console } : {}) },
    build: (site) => new AtHeartbeat(site, count, console)
  })
}

const counterLine = /heartbeat counter=(\d+)/

class AtHeartbeat extends Part<{ highest: number }> {
  readonly waitedFor: string
  private readonly count: number

  constructor(site: Site, count: number, console: boolean) {
    super(site, `atHeartbeat(${count})`, { highest: 0 }, console ? ["HeartbeatTick", "SerialLine"] : ["HeartbeatTick"])
    this.count = count
    this.waitedFor = `the heartbeat count to reach ${count}`
  }

  protected onArm(): void {
    this.memory.highest = 0
  }

  protected onDisarm(): void {}

  override overlooks(event: GuestEvent): boolean {
    let count = 0
    if (event._tag === "HeartbeatTick") count = event.count
    else if (event._tag === "SerialLine" && event.port === 0) count = Number(counterLine.exec(event.text)?.[1] ?? 0)
    if (count > this.memory.highest) this.memory.highest = count
    return count < this.count
  }

  override onEvent(event: GuestEvent): void {
    this.fireOn(event)
  }

  override progress(): string {
    return `the count had reached ${this.memory.highest} of ${this.count}`
  }
}
