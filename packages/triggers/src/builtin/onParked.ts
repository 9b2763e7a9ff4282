import type { Policy } from "../Policy.ts"
import { acceptAll, eventPolicy } from "./onEvent.ts"

/**
 * Fires when the workload has parked: it forked into the background and exited without a listener:
 * `onParked(a) = min { e.at | e after a, e is WorkloadParked }`.
 *
 * - *Same instant*: of several, the one with the lowest `seq`.
 * - *Already true at arming*: a workload that parked at or before the arming does not count.
 * - *Guest ends first*: never fires.
 *
 * @example
 * ```ts
 * import { onParked, within } from "@stillpoint/triggers"
 *
 * console.log(within(onParked(), "5 seconds").name) // within(onParked, 5 s)
 * ```
 */
export const onParked = (): Policy => parked

const parked: Policy = eventPolicy({
  name: "onParked",
  description: { trigger: "onParked" },
  kinds: ["WorkloadParked"],
  waitedFor: "the workload to park",
  accepts: acceptAll
})
