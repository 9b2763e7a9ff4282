/**
 * The smallest policies, for tests of the code that runs them.
 *
 * @module
 */
import { Effect, Stream } from "effect"
import { Firing } from "../Firing.ts"
import type { GuestEvent, GuestEventKind } from "../GuestEvent.ts"
import { GuestTimeline } from "../GuestTimeline.ts"
import { type Trigger, TriggerError } from "../Trigger.ts"

/** A firing of the trigger `on <kind>` at an event. */
export const sampleFiring = (event: GuestEvent, index = 0): Firing =>
  new Firing({
    policy: `on ${event._tag}`,
    trigger: `on ${event._tag}`,
    path: [`on ${event._tag}`],
    index,
    armedAtNanos: 0,
    atNanos: event.atNanos,
    afterSeq: event.seq,
    cause: { _tag: "Event", event },
    waitedFor: `the first ${event._tag}`,
    losers: [],
    quiesce: null,
    slippageNanos: 0
  })

/** Fires at the first `times` events of a kind. */
export const kindTrigger = (kind: GuestEventKind, times = 1): Trigger => {
  const name = `on ${kind}`
  const next = Effect.fnUntraced(function* (index: number, pending: Array<GuestEvent>) {
    const timeline = yield* GuestTimeline
    while (true) {
      while (pending.length > 0) {
        const event = pending.shift()
        if (event?._tag === kind) return sampleFiring(event, index)
      }
      const { events, nowNanos, stop } = yield* timeline.advance({ kinds: [kind], atNanos: null })
      pending.push(...events)
      if (pending.length === 0 && stop !== "event" && stop !== "time" && stop !== "paused" && stop !== "budget") {
        const how =
          stop === "halted" || stop === "reset" || stop === "idle" || stop === "horizon" ? stop : "timeline-ended"
        return yield* new TriggerError({
          reason: { _tag: "GuestEnded", policy: name, how, atNanos: nowNanos, progress: [] }
        })
      }
    }
  })
  return {
    name,
    interest: [kind],
    description: { trigger: name },
    await: Effect.suspend(() => next(0, [])),
    firings: Stream.suspend(() => {
      const pending: Array<GuestEvent> = []
      return Stream.unfold(0, (index) =>
        index >= times ? Effect.undefined : Effect.map(next(index, pending), (firing) => [firing, index + 1] as const)
      )
    })
  }
}
