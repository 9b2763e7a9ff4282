import type { GuestEventOf } from "@stillpoint/core"
import type { Policy } from "../Policy.ts"
import { refuse, refuseUnknown } from "../PolicyError.ts"
import { eventPolicy } from "./onEvent.ts"

/** Which listeners count; absent fields match every one. */
export interface ListenerFilter {
  readonly protocol?: "tcp" | "udp"
  /** Text form as the guest reports it, e.g. `0.0.0.0` or `::`. */
  readonly address?: string
  /** 1 to 65535. */
  readonly port?: number
}

/**
 * Fires when the workload has bound a listener:
 * `onListener(f)(a) = min { e.at | e after a, e is ListenerBound, e matches f }`.
 *
 * - *Same instant*: of several listeners bound at one nanosecond, the one with the lowest `seq`.
 * - *Already true at arming*: a listener that was bound at or before the arming does not count.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onListener } from "@stillpoint/triggers"
 *
 * console.log(onListener({ protocol: "tcp", port: 80 }).name) // onListener(tcp port 80)
 * ```
 */
export const onListener = (filter: ListenerFilter = {}): Policy => {
  refuseUnknown("onListener", filter, ["protocol", "address", "port"])
  const { address, port, protocol } = filter
  if (protocol !== undefined && protocol !== "tcp" && protocol !== "udp")
    refuse("onListener.protocol", "tcp or udp", protocol)
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535)) {
    refuse("onListener.port", "a whole number from 1 to 65535", port)
  }
  const words = [protocol, address, port === undefined ? undefined : `port ${port}`]
    .filter((word) => word !== undefined)
    .join(" ")
  return eventPolicy({
    name: words === "" ? "onListener" : `onListener(${words})`,
    description: {
      trigger: "onListener",
      ...(protocol === undefined ? {} : { protocol }),
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port })
    },
    kinds: ["ListenerBound"],
    waitedFor: words === "" ? "the workload to bind a listener" : `the workload to bind a listener on ${words}`,
    accepts: (event) => {
      const bound = event as GuestEventOf<"ListenerBound">
      return (
        (protocol === undefined || bound.protocol === protocol) &&
        (address === undefined || bound.address === address) &&
        (port === undefined || bound.port === port)
      )
    }
  })
}
