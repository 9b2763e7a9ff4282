/**
 * A boot as a picture in text.
 *
 * @module
 */
import { type GuestEvent, guestTimeInWords, quoted, wordOf } from "@stillpoint/core"

const width = 48

/** The label of an event in the picture; `null` for events that are left out. */
const labelOf = (event: GuestEvent): string | null => {
  switch (event._tag) {
    case "AgentReady":
      return `agent ready (Linux ${wordOf(event.kernelRelease)})`
    case "WorkloadPreExec":
      return `pre-exec: ${event.argv.map(wordOf).join(" ")}`
    case "ListenerBound":
      return `listener on ${event.protocol} ${wordOf(event.address)} port ${event.port}`
    case "ListenerClosed":
      return `listener gone from ${event.protocol} ${wordOf(event.address)} port ${event.port}`
    case "AgentFrozen":
      return "workload frozen"
    case "AgentThawed":
      return "workload thawed"
    case "GuestPanicked":
      return `panic: ${quoted(event.message)}`
    case "WorkloadExited":
    case "WorkloadParked":
    case "WorkloadFailed":
    case "GuestHalted":
    case "GuestReset":
      return event._tag
    default:
      return null
  }
}

/** A moment that does not come from the guest: a capture. */
export interface BootMark {
  readonly atNanos: number
  readonly label: string
}

/**
 * One line a moment: its place on the time axis, its guest time, and what happened.
 *
 * @example
 * ```ts
 * import { bootPicture } from "stillpoint"
 *
 * console.log(bootPicture([], [{ atNanos: 2_500_000, label: "captured" }]).at(-1))
 * // -----------------------------------------------#       2.5 ms  captured
 * ```
 */
export const bootPicture = (
  events: ReadonlyArray<GuestEvent>,
  marks: ReadonlyArray<BootMark> = []
): ReadonlyArray<string> => {
  const moments = [
    { atNanos: 0, label: "first instruction", sign: "|" },
    ...events.flatMap((event) => {
      const label = labelOf(event)
      return label === null ? [] : [{ atNanos: event.atNanos, label, sign: "o" }]
    }),
    ...marks.map((mark) => ({ ...mark, sign: "#" }))
  ].toSorted((a, b) => a.atNanos - b.atNanos)
  const end = Math.max(1, moments.at(-1)?.atNanos ?? 1)
  return moments.map(({ atNanos, label, sign }) => {
    const column = Math.round((atNanos / end) * (width - 1))
    return `${"-".repeat(column)}${sign}${" ".repeat(width - 1 - column)} ${guestTimeInWords(atNanos).padStart(12)}  ${label}`
  })
}
