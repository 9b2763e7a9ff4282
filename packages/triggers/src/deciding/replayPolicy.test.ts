import { setFlagsFromString, getHeapStatistics } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, it } from "@effect/vitest"
import type { GuestEvent } from "@stillpoint/core"
import { Effect, Result, Schema } from "effect"
import { describe } from "vitest"
import {
  afterGuestTime,
  allOf,
  andThen,
  atHeartbeat,
  defineTrigger,
  firstOf,
  fromEffect,
  named,
  onCustom,
  onDirtyRateBelow,
  onEvent,
  onIdle,
  onListener,
  onSerialMatch,
  orElseAfter,
  type Policy,
  precedence,
  quiesce,
  repeat,
  Trigger,
  within
} from "../index.ts"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void
const heapBytes = (): number => getHeapStatistics().used_heap_size

/** A guest that is up and does a little of everything, for ever. */
const bustle = (count: number): ReadonlyArray<GuestEvent> =>
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
 * None that acts at every other event, such as a calm that is broken again and again: where V8 does not inline the call that
 * takes a time, it boxes that number, and whether it does differs from one process to the next.
 */
const undecided: Readonly<Record<string, Policy>> = {
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

const shorter = bustle(20_000)
const longer = bustle(200_000)

describe("a replay", () => {
  for (const [name, policy] of Object.entries(undecided)) {
    it(`of-ten-times-as-many-events-allocates-no-more: ${name}`, () => {
      // The least of several: the first runs are the compiler's, which takes its time on a busy host, and a collection in
      // between gives a negative number.
      const leastBytes = (events: ReadonlyArray<GuestEvent>, enough: number): number => {
        let least = Infinity
        for (let round = 0; round < 40 || (round < 1000 && least > enough); round++) {
          const before = heapBytes()
          Trigger.replay(policy, { events })
          const bytes = heapBytes() - before
          if (bytes >= 0) least = Math.min(least, bytes)
        }
        return least
      }
      // One number boxed for each of the events that matter to the policy would be a megabyte.
      const most = leastBytes(shorter, Infinity) + 128 * 1024
      assert.isBelow(leastBytes(longer, most), most)
    })
  }
})

describe("a policy", () => {
  it("that-is-replayed-while-it-is-replayed-decides-as-if-alone", () => {
    const line = { events: shorter.slice(0, 20) }
    const inner: Array<number> = []
    const curious: Policy = defineTrigger({
      name: "curious",
      config: Schema.Null,
      interest: () => ["HeartbeatTick"],
      waitedFor: () => "three heartbeats",
      start: () => ({ state: 0 }),
      step: (seen: number, input) => {
        // Once only: by the last heartbeat of the outer replay.
        if (seen === 2 && inner.length === 0) {
          inner.push(-1)
          inner[0] = Result.getOrThrow(Trigger.replay(whole, line)).atNanos
        }
        return { state: seen + 1, fires: seen === 2 && input._tag === "Event" }
      }
    })(null)
    const whole = firstOf([onListener(), curious])
    const outer = Result.getOrThrow(Trigger.replay(whole, line))
    assert.strictEqual(outer.atNanos, line.events[16]?.atNanos)
    assert.deepStrictEqual(inner, [outer.atNanos])
  })

  it("armed-and-disarmed-a-million-times-holds-on-to-nothing", () => {
    const all = [...Object.values(undecided), repeat(onEvent("HeartbeatTick")), fromEffect("http", Effect.never)]
    const automaton = within(firstOf(all), "50 millis").instantiate()
    automaton.keepsCommands = true
    const cycle = (): void => {
      automaton.start(0)
      automaton.time(50e6)
      const [first, second] = automaton.commands
      const isDisarmed =
        automaton.isExhausted && automaton.channels.listening.length === 0 && automaton.wakeAtNanos === null
      if (!isDisarmed || first?._tag !== "StartProbe" || second?._tag !== "StopProbe") assert.fail("still armed")
    }
    cycle()
    const state = automaton.save()
    collect()
    const before = heapBytes()
    for (let arming = 0; arming < 1_000_000; arming++) cycle()
    assert.deepStrictEqual(automaton.save(), state)
    collect()
    // Far less than a word for each arming.
    assert.isBelow(heapBytes() - before, 1024 * 1024)
  })
})
