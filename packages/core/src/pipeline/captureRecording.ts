/**
 * The recorded timeline that goes with a snapshot: everything the guest did up to the capture.
 *
 * @module
 */
import { Effect } from "effect"
import type { GuestEvent } from "../GuestEvent.ts"
import { fileDigest } from "../internal/fileDigest.ts"
import { sha256 } from "../snapshot/Manifest.ts"
import { encodeTimeline } from "../timeline/RecordedTimeline.ts"
import { timelineFormat, timelineVersion } from "../timeline/TimelineHeader.ts"
import type { BootSpec, Machine } from "../Vmm.ts"
import { bootSpecJson } from "./BootSpecJson.ts"

/** The bytes of the recording of a machine stopped at its capture; `earlier` are events before the machine's own. */
export const captureRecording = Effect.fnUntraced(function* (
  machine: Machine,
  spec: BootSpec,
  earlier: ReadonlyArray<GuestEvent>
) {
  const events = [...earlier, ...(yield* machine.eventsSoFar())]
  const initrd =
    spec.initramfs !== undefined
      ? sha256(spec.initramfs)
      : spec.initramfsPath === undefined
        ? null
        : yield* fileDigest(spec.initramfsPath)
  return encodeTimeline({
    header: {
      format: timelineFormat,
      version: timelineVersion,
      engine: machine.engine,
      kernelDigest: yield* fileDigest(spec.kernelPath),
      initrdDigest: initrd,
      configuration: bootSpecJson(spec),
      seed: spec.seed === undefined ? 0 : spec.seed,
      firstSeq: events[0]?.seq ?? 0,
      ...(earlier.length > 0 || machine.beginning.atNanos === 0 ? {} : { beginning: machine.beginning })
    },
    events,
    end: { _tag: "TimelineEnd", atNanos: yield* machine.nowNanos, reason: "paused", events: events.length }
  })
})
