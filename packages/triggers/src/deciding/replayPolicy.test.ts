import { execFileSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { getHeapStatistics, setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { assert, it } from "@effect/vitest"
import { Effect, Result, Schema } from "effect"
import { describe } from "vitest"
import {
  defineTrigger,
  firstOf,
  fromEffect,
  onEvent,
  onListener,
  type Policy,
  repeat,
  Trigger,
  within
} from "../index.ts"
import { bustle, undecided } from "../testing/undecided.ts"

setFlagsFromString("--expose-gc")
const collect = runInNewContext("gc") as () => void
const heapBytes = (): number => getHeapStatistics().used_heap_size

const shorter = bustle(20)

/** One number boxed for each of the events that matter to the policy would be a megabyte. */
const slackBytes = 128 * 1024

describe("a replay", () => {
  it("of-ten-times-as-many-events-allocates-no-more", () => {
    const program = fileURLToPath(new URL("../testing/allocateByReplay.ts", import.meta.url))
    const args = ["--conditions=stillpoint-source", "--no-warnings", program, String(slackBytes)]
    const told = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" }))
    assert.sameMembers(Object.keys(told), Object.keys(undecided))
    for (const [name, { shorter, longer }] of Object.entries<{ shorter: number; longer: number }>(told)) {
      assert.isBelow(longer, shorter + slackBytes, name)
    }
  })
})

describe("a policy", () => {
  it("that-is-replayed-while-it-is-replayed-decides-as-if-alone", () => {
    const line = { events: shorter }
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

  it("armed-and-disarmed-again-and-again-holds-on-to-nothing", () => {
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
    const armings = 262_144
    cycle()
    const state = automaton.save()
    collect()
    const before = heapBytes()
    for (let arming = 0; arming < armings; arming++) cycle()
    assert.deepStrictEqual(automaton.save(), state)
    collect()
    // Less than half a word for each arming.
    assert.isBelow(heapBytes() - before, armings * 4)
  })
})
