/**
 * Running a policy live, against a machine that plays a timeline.
 *
 * @module
 */
import {
  type Firing,
  GuestTimeline,
  lockstepTimeline,
  type Machine,
  type MachineError,
  type RecordedTimeline,
  replayMachine,
  timelineFormat,
  timelineVersion,
  type TriggerError,
  type TriggerSignal,
  TriggerSignals
} from "@stillpoint/core"
import { Effect, Result } from "effect"
import type { Policy } from "../Policy.ts"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"

/** A timeline as a recording of an engine that does not exist. */
export const asRecording = (timeline: ReplayedTimeline): RecordedTimeline => ({
  header: {
    format: timelineFormat,
    version: timelineVersion,
    engine: "generated",
    kernelDigest: null,
    initrdDigest: null,
    configuration: {},
    seed: 0,
    firstSeq: timeline.events[0]?.seq ?? 0,
    ...timeline.header
  },
  events: timeline.events,
  end:
    timeline.end === undefined || timeline.end === null
      ? null
      : { _tag: "TimelineEnd", events: timeline.events.length, ...timeline.end },
  torn: null
})

/** A policy's first decision in lockstep with a machine, and the signals that it received. */
export const decisionOn = Effect.fnUntraced(function* (policy: Policy, machine: Machine) {
  const service = yield* lockstepTimeline(machine)
  const signals: Array<TriggerSignal> = []
  const decision: Result.Result<Firing, TriggerError> = yield* policy.await.pipe(
    Effect.provideService(GuestTimeline, service),
    Effect.provideService(TriggerSignals, { record: (signal) => Effect.sync(() => void signals.push(signal)) }),
    Effect.map((firing) => Result.succeed(firing)),
    Effect.catchTag("TriggerError", (error) => Effect.succeed(Result.fail(error)))
  )
  return { decision, signals }
})

/** A policy's decision in lockstep with a machine that plays the timeline, and the signals that it received. */
export const decideLive = (
  policy: Policy,
  timeline: ReplayedTimeline
): Effect.Effect<
  { readonly decision: Result.Result<Firing, TriggerError>; readonly signals: ReadonlyArray<TriggerSignal> },
  MachineError
> =>
  Effect.scoped(
    Effect.gen(function* () {
      const machine = yield* replayMachine(asRecording(timeline))
      return yield* decisionOn(policy, machine)
    })
  )
