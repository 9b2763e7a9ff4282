/**
 * That no snapshot is made of a guest whose disk failed on the way to it.
 *
 * @module
 */
import { Effect } from "effect"
import type { Firing } from "../../Firing.ts"
import type { GuestEvent } from "../../GuestEvent.ts"
import { GuestDiskFailed } from "../PipelineErrors.ts"
import type { Frozen } from "./freeze.ts"

/** Whether an event came after the cause of a firing: in its wait for calm, or on the way to the capture. */
const isAfter = ({ cause }: Firing, event: GuestEvent): boolean => {
  switch (cause._tag) {
    case "Event":
      return event.seq > cause.event.seq
    case "Timer":
      return event.atNanos >= cause.atNanos
    case "Signal":
      return event.seq > cause.signal.afterSeq
  }
}

/**
 * Fails if a disk of the captured guest failed after the cause of the firing and up to event `seq`. A policy that fires on
 * `DiskFailed` captures the guest that has seen it.
 */
export const refuseFailedDisk = ({ earlier, firing, subject }: Frozen, seq: number) =>
  Effect.gen(function* () {
    for (const event of [...earlier, ...(yield* subject.eventsSoFar())]) {
      if (event._tag !== "DiskFailed" || event.seq > seq || !isAfter(firing, event)) continue
      const { atNanos, disk, errno, message, operation, reason } = event
      return yield* new GuestDiskFailed({ disk, operation, why: reason, errno, atNanos, detail: message })
    }
  })
