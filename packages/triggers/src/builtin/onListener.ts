import { type GuestEventOf, isSameListener } from "@stillpoint/core"
import { optional, requireOptions, requirePort, requireText, wordAmong } from "../argument.ts"
import type { Policy } from "../Policy.ts"
import { eventPolicy } from "./onEvent.ts"

/** The listeners that count; an absent field matches any value. */
export interface ListenerFilter {
  readonly protocol?: "tcp" | "udp"
  /** Address as the guest reports it, such as `0.0.0.0` or `::`. */
  readonly address?: string
  /** 1 to 65535. */
  readonly port?: number
  /**
   * `bound` (the default): only listeners that are bound after the arming (the edge). `listening`: also listeners that are
   * already open when the trigger is armed (the level).
   */
  readonly counts?: "bound" | "listening"
}

/**
 * Fires when the workload has bound a listener:
 * `onListener(f)(a) = min { e.at | e after a, e is ListenerBound, e matches f }`.
 *
 * - *Same instant*: of several listeners bound at one nanosecond, the one with the lowest `seq`.
 * - *Already true at arming*: a listener that was bound at or before the arming does not count, unless `counts` is `listening`:
 *   then it fires at once, on the oldest that is open, be it that it was bound before the machine was restored or forked. Of more than
 *   1024 that are open at once, the later ones are not remembered.
 * - *A listener that closes*: the trigger has fired all the same. A `quiesce` that waits for calm after it does not settle on
 *   it: it waits for the next one or, if `counts` is `listening`, continues as long as a matching one is open.
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
  const { address, counts, port, protocol } = requireOptions("onListener", filter, {
    protocol: optional(wordAmong("tcp", "udp")),
    address: optional(requireText),
    port: optional(requirePort),
    counts: optional(wordAmong("bound", "listening"))
  })
  const matches = (bound: GuestEventOf<"ListenerBound">): boolean =>
    (protocol === undefined || bound.protocol === protocol) &&
    (address === undefined || bound.address === address) &&
    (port === undefined || bound.port === port)
  const isLevel = counts === "listening"
  const words = [protocol, address, port === undefined ? undefined : `port ${port}`]
    .filter((word) => word !== undefined)
    .join(" ")
  return eventPolicy({
    name: words === "" ? "onListener" : `onListener(${words})`,
    description: {
      trigger: "onListener",
      ...(protocol === undefined ? {} : { protocol }),
      ...(address === undefined ? {} : { address }),
      ...(port === undefined ? {} : { port }),
      ...(isLevel ? { counts } : {})
    },
    kinds: isLevel ? ["ListenerBound", "ListenerClosed"] : ["ListenerBound"],
    waitedFor: words === "" ? "the workload to bind a listener" : `the workload to bind a listener on ${words}`,
    accepts: (event) => event._tag === "ListenerBound" && matches(event),
    ...(isLevel ? { standing: (guest) => guest.listeners.find(matches) ?? null } : {}),
    isUndoneBy: (event, firedOn, guest) =>
      event._tag === "ListenerClosed" &&
      firedOn?._tag === "ListenerBound" &&
      (isLevel ? !guest.listeners.some(matches) : isSameListener(firedOn, event))
  })
}
