/**
 * Arbitraries for guests that react.
 *
 * @module
 */
import * as fc from "fast-check"
import type { ReplayedTimeline } from "../deciding/replayPolicy.ts"
import { consoleLines, customNames, type EventBody, listenerPorts } from "./guestEvents.ts"
import { type AgentManners, LivingGuest, type ReactiveGuest, type WorkloadStep } from "./ReactiveGuest.ts"

const millis = (count: number): number => Math.round(count * 1e6)

/** The possible events of a workload's step. */
const workloadEvent: fc.Arbitrary<EventBody> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(...consoleLines).map((text) => ({ _tag: "SerialLine" as const, port: 0, text }))
  },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom(...listenerPorts)
      .map((port) => ({ _tag: "ListenerBound" as const, protocol: "tcp", address: "0.0.0.0", port }))
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(...listenerPorts)
      .map((port) => ({ _tag: "ListenerClosed" as const, protocol: "tcp", address: "0.0.0.0", port }))
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ name: fc.constantFrom(...customNames), payload: fc.nat(3) })
      .map((custom) => ({ _tag: "Custom" as const, ...custom }))
  },
  { weight: 1, arbitrary: fc.nat(400).map((count) => ({ _tag: "PagesDirtied" as const, count })) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<EventBody>(
      { _tag: "IoStarted", device: "entropy" },
      { _tag: "IoSettled", device: "entropy" },
      { _tag: "WorkloadParked" },
      { _tag: "WorkloadExited", code: 0, signal: null }
    )
  }
)

/** A workload step by step: bursts, and pauses that hit or miss the durations of generated policies. */
export const workloadSteps: fc.Arbitrary<ReadonlyArray<WorkloadStep>> = fc.array(
  fc.record({
    restNanos: fc.oneof(
      { weight: 2, arbitrary: fc.constant(0) },
      { weight: 3, arbitrary: fc.constantFrom(millis(1), millis(5), millis(50), millis(50) + 1, millis(100)) },
      { weight: 2, arbitrary: fc.nat(millis(300)) }
    ),
    workNanos: fc.constantFrom(1000, 100_000, millis(1), millis(2), millis(5), millis(20)),
    event: workloadEvent
  }),
  { maxLength: 14 }
)

/** Agents that freeze at once, soon or late, refuse, or never answer. */
export const agentManners: fc.Arbitrary<AgentManners> = fc.record({
  onFreeze: fc.oneof(
    { weight: 6, arbitrary: fc.constant("freezes" as const) },
    { weight: 1, arbitrary: fc.constantFrom("refuses" as const, "is-silent" as const) }
  ),
  freezeNanos: fc.constantFrom(0, 1000, 300_000, millis(3), millis(60), millis(1200)),
  thawNanos: fc.constantFrom(0, 1000, 200_000, millis(3))
})

/** Guests of all kinds; parts that are given are so in all of them. */
export const reactiveGuest = (
  given: {
    readonly agent?: fc.Arbitrary<AgentManners>
    readonly workload?: fc.Arbitrary<ReadonlyArray<WorkloadStep>>
  } = {}
): fc.Arbitrary<ReactiveGuest> =>
  fc
    .record({
      announcedAtNanos: fc.integer({ min: millis(5), max: millis(300) }),
      holdNanos: fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(millis(20), millis(100)) },
        { weight: 1, arbitrary: fc.constant(null) }
      ),
      marks: fc.constantFrom(null, "before-agent" as const, "after-agent" as const),
      lines: fc.nat(3),
      heartbeatNanos: fc.constantFrom(millis(50), millis(100)),
      beats: fc.nat(8),
      workload: given.workload ?? workloadSteps,
      agent: given.agent ?? agentManners,
      haltsAfterNanos: fc.oneof(
        { weight: 3, arbitrary: fc.constant(null) },
        { weight: 1, arbitrary: fc.nat(millis(1500)) }
      )
    })
    .map(({ agent, announcedAtNanos, beats, haltsAfterNanos, heartbeatNanos, holdNanos, lines, marks, workload }) => ({
      system: Array.from({ length: lines }, (_, line) => [
        Math.round((announcedAtNanos * (line + 1)) / (lines + 1)),
        { _tag: "SerialLine" as const, port: 0, text: "loading" }
      ]),
      heartbeats: { everyNanos: heartbeatNanos, count: beats },
      announcedAtNanos,
      holdNanos,
      marks,
      workload,
      agent,
      haltsAtNanos: haltsAfterNanos === null ? null : announcedAtNanos + haltsAfterNanos
    }))

/** The events of such guests when another party freezes and thaws them, as timelines. */
export const reactedTimeline: fc.Arbitrary<ReplayedTimeline> = fc
  .tuple(
    reactiveGuest(),
    fc.array(fc.tuple(fc.nat(millis(150)), fc.constantFrom("freeze" as const, "thaw" as const)), { maxLength: 5 }),
    fc.nat(millis(400))
  )
  .map(([guest, requests, forNanos]) => {
    const living = new LivingGuest(guest)
    living.run({ atNanos: guest.announcedAtNanos })
    for (const [afterNanos, what] of requests) {
      living.run({ budgetNanos: afterNanos })
      if (!living.hasHalted) living.request(what)
    }
    living.run({ budgetNanos: forNanos })
    return living.timeline
  })

/** An agent that freezes and thaws at once: then a freeze comes between two steps of the workload, and changes none. */
export const agentAtOnce: fc.Arbitrary<AgentManners> = fc.constant({
  onFreeze: "freezes",
  freezeNanos: 0,
  thawNanos: 0
})

/** Steps that each have an instant of their own. */
export const stepsApart: fc.Arbitrary<ReadonlyArray<WorkloadStep>> = fc.array(
  fc.record({
    restNanos: fc.integer({ min: 1_000_000, max: 80_000_000 }),
    workNanos: fc.constantFrom(1000, 2_000_000),
    event: fc.oneof(
      fc.constantFrom(...consoleLines).map((text) => ({ _tag: "SerialLine" as const, port: 0, text })),
      fc
        .constantFrom(...listenerPorts)
        .map((port) => ({ _tag: "ListenerBound" as const, protocol: "tcp", address: "0.0.0.0", port })),
      fc.constant({ _tag: "Custom" as const, name: "warm", payload: 1 })
    )
  }),
  { minLength: 1, maxLength: 12 }
)
