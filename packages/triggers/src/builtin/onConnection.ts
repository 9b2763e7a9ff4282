import type { GuestEvent } from "@stillpoint/core"
import { requireOptions, requireWord } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { refuse } from "../PolicyError.ts"
import { eventPolicy } from "./onEvent.ts"

/** Which connections count. */
export interface ConnectionFilter {
  /** The guest's port, 1 to 65535; any if absent. */
  readonly port?: number
  /** Who began it: somebody outside (`inward`, if absent), or the guest. */
  readonly direction?: "inward" | "outward"
}

/** A port of the guest's that a trigger is to look at, or any. */
export const requirePort = (name: string, port: number | undefined): number | undefined =>
  port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65_535)
    ? port
    : refuse(name, "a whole number from 1 to 65535", port)

/**
 * Fires when a TCP connection of the guest's is made:
 * `onConnection(f)(a) = min { e.at | e after a, e is ConnectionOpened, e matches f }`.
 *
 * - *Same instant*: of several, the one with the lowest `seq`.
 * - *Already true at arming*: a connection that is open does not count; the next one does.
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
  const read = requireOptions("onConnection", filter, ["port", "direction"])
  const port = requirePort("onConnection.port", read.port)
  requireWord("onConnection.direction", read.direction, ["inward", "outward"])
  const direction = read.direction ?? "inward"
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
