/**
 * A boot as a picture in text.
 *
 * @module
 */
import type { GuestEvent } from "@stillpoint/core"

const width = 48

/** What an event is called in the picture; `null` for those that are left out. */
const labelOf = (event: GuestEvent): string | null => {
  switch (event._tag) {
    case "AgentReady":
      return `agent ready (Linux ${event.kernelRelease})`
    case "WorkloadPreExec":
      return `pre-exec: ${event.argv.join(" ")}`
    case "ListenerBound":
      return `listener on ${event.protocol} ${event.address} port ${event.port}`
    case "AgentQuiesced":
      return "workload frozen"
    case "WorkloadExited":
    case "WorkloadParked":
    case "WorkloadFailed":
    case "GuestPanicked":
    case "GuestHalted":
      return event._tag
    default:
      return null
  }
}

/** Marks that do not come from the guest. */
export interface Mark {
  readonly atNanos: number
  readonly label: string
}

/** One line a moment: its place on the time axis, guest time in milliseconds, and what happened. */
export const drawTimeline = (events: ReadonlyArray<GuestEvent>, marks: ReadonlyArray<Mark>): ReadonlyArray<string> => {
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
    return `${"-".repeat(column)}${sign}${" ".repeat(width - 1 - column)} ${(atNanos / 1e6).toFixed(3).padStart(10)} ms  ${label}`
  })
}
