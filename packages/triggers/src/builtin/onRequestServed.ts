import type { GuestEvent } from "@stillpoint/core"
import { optional, requireAll, requireCount, requireOptions, requirePort } from "../argument.ts"
import { Part, type Site } from "../automaton/Part.ts"
import { Policy } from "../Policy.ts"

/** The requests that count. */
export interface RequestFilter {
  /** The guest's port, 1 to 65535; any if absent. */
  readonly port?: number
}

/**
 * Fires once the guest has answered `n` requests that came over TCP connections:
 * `onRequestServed(n, f)(a) = the n-th of { e.at | e after a, e is RequestServed, e matches f }`, in the order of `seq`.
 *
 * The protocol is unknown here, so requests are recognized by direction: one is served once the guest has received data, has answered,
 * and then closes its side or receives more. An answer on a kept-open connection counts when the next request arrives, or when the
 * guest closes its side.
 *
 * - *Same instant*: of several, each counts.
 * - *Already true at arming*: requests that were served before do not count.
 * - *Guest ends first*, or has no network: never fires.
 *
 * @example
 * ```ts
 * import { onRequestServed } from "@stillpoint/triggers"
 *
 * console.log(onRequestServed(100, { port: 8080 }).name) // onRequestServed(100, port 8080)
 * ```
 */
export const onRequestServed = (count: number, filter: RequestFilter = {}): Policy => {
  const {
    options: { port }
  } = requireAll({
    count: () => requireCount("onRequestServed", count),
    options: () => requireOptions("onRequestServed", filter, { port: optional(requirePort) })
  })
  const name = `onRequestServed(${count}${port === undefined ? "" : `, port ${port}`})`
  return new Policy({
    name,
    description: { trigger: "onRequestServed", count, ...(port === undefined ? {} : { port }) },
    build: (site) => new OnRequestServed(site, name, count, port)
  })
}

class OnRequestServed extends Part<{ served: number }> {
  readonly waitedFor: string
  private readonly count: number
  private readonly port: number | undefined

  constructor(site: Site, name: string, count: number, port: number | undefined) {
    super(site, name, { served: 0 }, ["RequestServed"])
    this.count = count
    this.port = port
    this.waitedFor = `${count === 1 ? "a request" : `${count} requests`} to be served${port === undefined ? "" : ` at port ${port}`}`
  }

  protected onArm(): void {
    this.memory.served = 0
  }

  protected onDisarm(): void {}

  override overlooks(event: GuestEvent): boolean {
    if (event._tag !== "RequestServed" || (this.port !== undefined && event.guestPort !== this.port)) return true
    this.memory.served += 1
    return this.memory.served < this.count
  }

  override onEvent(event: GuestEvent): void {
    this.fireOn(event)
  }

  override progress(): string {
    return `${this.memory.served} of ${this.count} had been served`
  }
}
