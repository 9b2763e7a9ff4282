import { refuse } from "../PolicyError.ts"
import type { Duration } from "effect"
import { optional, type Reader, requireOptions } from "../argument.ts"
import { toGuestNanos } from "../guestDuration.ts"
import type { Policy } from "../Policy.ts"
import { acceptAll, eventPolicy } from "./onEvent.ts"

/** Sources of the pre-exec. */
export interface PreExecOptions {
  /**
   * Also accept a console line that is exactly this marker (`true` for `workload-pre-exec`), for a foreign init without a control
   * port. Any process that can write to the console can then fire the trigger; where an agent has announced the workload, a
   * snapshot that is decided so after its hold is refused as `PreExecMissed`.
   */
  readonly console?: boolean | string
  /**
   * The time for which such an init holds its workload after the marker; 100 ms if absent. It is an assumption until the agent's
   * announcement follows: that then replaces the marker, with its own hold, and a wait for calm begins again.
   */
  readonly consoleHold?: Duration.Input
}

/** The marker that a foreign init prints. */
export const preExecMarker = "workload-pre-exec"

/**
 * Fires when the agent holds the workload just before its first instruction:
 * `onPreExec(a) = min { e.at | e after a, e is WorkloadPreExec }`.
 *
 * The capture is taken before the workload runs, so that each restore executes it afresh.
 * The agent holds the workload for the event's `holdNanos`, or until the host releases it. A `quiesce` around this trigger ends before
 * that time, or fails with `HoldTooShort` if its calm does not fit.
 *
 * - *Same instant*: it comes before every listener of the workload, which does not exist yet.
 * - *Already true at arming*: a pre-exec at or before the arming does not count, since its hold may be over.
 * - *Guest ends first*, or its workload cannot be executed: never fires.
 *
 * @example
 * ```ts
 * import { onPreExec, quiesce } from "@stillpoint/triggers"
 *
 * console.log(quiesce(onPreExec(), { calmFor: "20 millis" }).name) // quiesce(onPreExec, 20 ms)
 * ```
 */
export const onPreExec = (options: PreExecOptions = {}): Policy => {
  const { console: marker, consoleHold: consoleHoldNanos = defaultConsoleHoldNanos } = requireOptions(
    "onPreExec",
    options,
    { console: optional(requireMarker), consoleHold: optional(toGuestNanos) }
  )
  return eventPolicy({
    name: "onPreExec",
    description: {
      trigger: "onPreExec",
      ...(marker === undefined ? {} : { console: marker, consoleHoldNanos })
    },
    kinds: marker === undefined ? ["WorkloadPreExec"] : ["WorkloadPreExec", "SerialLine"],
    waitedFor: "the workload to be about to execute",
    accepts:
      marker === undefined
        ? acceptAll
        : (event) => event._tag !== "SerialLine" || (event.port === 0 && event.text.trimEnd() === marker),
    // The marker's hold is an assumption; the agent's is known.
    isCorrectedBy: (event, firedOn) => firedOn?._tag === "SerialLine" && event._tag === "WorkloadPreExec",
    // Held until the host releases it: any calm fits, and the agent need not freeze a workload that does not run.
    holdNanos: (event) => (event._tag === "WorkloadPreExec" ? (event.holdNanos ?? Infinity) : consoleHoldNanos)
  })
}

const defaultConsoleHoldNanos = 100_000_000

/** The marker that is believed; `undefined` for none. */
const requireMarker: Reader<string | undefined> = (what, value) => {
  if (value === true) return preExecMarker
  if (value === false) return undefined
  return typeof value === "string" ? value : refuse(what, "true, false or a text", value)
}
