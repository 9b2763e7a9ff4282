import type { GuestEvent } from "@stillpoint/core"
import { optional, requireOptions, requirePort, wordAmong } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { eventPolicy } from "./onEvent.ts"

/** The connections that count. */
export interface ConnectionFilter {
  /** The guest's port, 1 to 65535; any if absent. */
  readonly port?: number
  /** The side that opened it: a client outside (`inward`, the default) or the guest (`outward`). */
  readonly direction?: "inward" | "outward"
}

/**
 * Fires when a TCP connection into or out of the guest is opened:
 * `onConnection(f)(a) = min { e.at | e after a, e is ConnectionOpened, e matches f }`.
 *
 * - *Same instant*: of several, the one with the lowest `seq`.
 * - *Already true at arming*: a connection that is open already does not count; the next one does.
 * - *Guest ends first*, or has no network: never fires.
 *
 * @example
 * ```ts
 * import { onConnection } from "@stillpoint/triggers"
 *
 * console.log(onConnection({ port: 8080 }).name) // onConnection(port 8080)
 * ```
 */
export const onConnection = (filter: ConnectionFilter = {}): Policy => {
  const { direction = "inward", port } = requireOptions("onConnection", filter, {
    port: optional(requirePort),
    direction: optional(wordAmong("inward", "outward"))
  })
  const words = [direction === "outward" ? direction : undefined, port === undefined ? undefined : `port ${port}`]
    .filter((word) => word !== undefined)
    .join(" ")
  return eventPolicy({
    name: words === "" ? "onConnection" : `onConnection(${words})`,
    description: {
      trigger: "onConnection",
      ...(port === undefined ? {} : { port }),
      ...(direction === "outward" ? { direction } : {})
    },
    kinds: ["ConnectionOpened"],
    waitedFor: `a connection ${direction === "outward" ? "of the guest's to somebody" : "to the guest"}${port === undefined ? "" : ` at its port ${port}`}`,
    accepts: (event: GuestEvent) =>
      event._tag === "ConnectionOpened" &&
      event.direction === direction &&
      (port === undefined || event.guestPort === port)
  })
}
