import type { GuestEvent } from "@stillpoint/core"
import {
  afterGuestTime,
  allOf,
  andThen,
  atHeartbeat,
  firstOf,
  named,
  onCustom,
  onDirtyRateBelow,
  onIdle,
  onListener,
  onSerialMatch,
  orElseAfter,
  type Policy,
  precedence,
  quiesce,
  within
} from "../index.ts"

/** A guest that is up and does a little of everything, for ever. */
export const bustle = (count: number): ReadonlyArray<GuestEvent> =>
  Array.from({ length: count }, (_, seq): GuestEvent => {
    const atNanos = 3e9 + seq * 10_000
    switch (seq % 8) {
      case 0:
        return { _tag: "HeartbeatTick", seq, atNanos, count: Math.floor(seq / 8) }
      case 1:
      case 5:
        return { _tag: "SerialLine", seq, atNanos, port: 0, text: "loading module" }
      case 2:
      case 6:
        return { _tag: "GuestIdle", seq, atNanos }
      case 3:
      case 7:
        return { _tag: "GuestBusy", seq, atNanos }
      default:
        return { _tag: "PagesDirtied", seq, atNanos, count: 12_000 }
    }
  })

/**
 * Policies that look at such a guest to the end, and decide nothing.
 *
 * No policy that acts at every other event, such as a calm that is broken again and again: if V8 does not inline the call
 * that takes a time, it boxes that number, which differs from one process to the next.
 */
export const undecided: Readonly<Record<string, Policy>> = {
  nested: within(
    orElseAfter(
      allOf([
        named(
          andThen(precedence([quiesce(onListener(), { calmFor: 0 }), atHeartbeat(1e9)]), afterGuestTime(0)),
          "ready"
        ),
        firstOf([onSerialMatch("panic"), onSerialMatch(/oops/, { port: 1 })])
      ]),
      "2000 seconds",
      onCustom("late")
    ),
    "3000 seconds"
  ),
  "rest that never comes": onIdle("1 second"),
  "rate that is never low": onDirtyRateBelow(10, "100 millis")
}
