import { assert, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import { decodeTimeline, type GuestEvent } from "@stillpoint/core"
import { Result } from "effect"
import { describe } from "vitest"
import type { EventBody } from "./guestEvents.ts"
import { LivingGuest, type ReactiveGuest } from "./ReactiveGuest.ts"

const millis = (count: number): number => count * 1e6
const line = (text: string): EventBody => ({ _tag: "SerialLine", port: 0, text })

/** Rests for 9 ms and works for one, again and again, from 20 ms on. */
const ticker: ReactiveGuest = {
  system: [],
  heartbeats: { everyNanos: millis(40), count: 2 },
  announcedAtNanos: millis(10),
  holdNanos: millis(10),
  workload: [1, 2, 3, 4, 5].map((tick) => ({
    restNanos: millis(9),
    workNanos: millis(1),
    event: line(`tick ${tick}`)
  })),
  agent: { onFreeze: "freezes", freezeNanos: millis(1), thawNanos: millis(2) },
  haltsAtNanos: null
}
const told = ({ events }: LivingGuest): ReadonlyArray<string> =>
  events.map((event) => `${event.atNanos / 1e6} ${event._tag === "SerialLine" ? event.text : event._tag}`)

describe("a guest that reacts", () => {
  it("does-what-it-does-and-rests-for-ever", () => {
    const guest = new LivingGuest({ ...ticker, heartbeats: { everyNanos: 1, count: 0 } })
    assert.deepStrictEqual(guest.run({}), { reason: "idle", seq: null, atNanos: millis(70) })
    assert.deepStrictEqual(told(guest).slice(0, 8), [
      "0 GuestBusy",
      "10 AgentReady",
      "10 WorkloadPreExec",
      "10 GuestIdle",
      "29 GuestBusy",
      "30 tick 1",
      "30 GuestIdle",
      "39 GuestBusy"
    ])
  })

  it("does-nothing-while-it-is-frozen-and-what-is-due-with-the-thaw", () => {
    const guest = new LivingGuest(ticker)
    guest.run({ atNanos: millis(34) })
    const token = guest.request("freeze")
    assert.strictEqual(guest.run({ kinds: ["AgentFrozen"] }).atNanos, millis(35))
    assert.strictEqual(guest.frozenSinceNanos, millis(35))
    guest.run({ atNanos: millis(98) })
    guest.request("thaw")
    guest.run({ atNanos: millis(145) })
    assert.deepStrictEqual(told(guest).slice(7), [
      "34 HostInput",
      "34 GuestBusy",
      "35 AgentFrozen",
      "35 GuestIdle",
      "98 HostInput",
      "98 GuestBusy",
      "100 AgentThawed",
      "100 GuestIdle",
      "100 GuestBusy",
      "101 tick 2",
      "101 GuestIdle",
      "110 GuestBusy",
      "111 tick 3",
      "111 GuestIdle",
      "120 GuestBusy",
      "121 tick 4",
      "121 GuestIdle",
      "130 GuestBusy",
      "131 tick 5",
      "131 GuestIdle",
      "140 GuestBusy",
      "140 HeartbeatTick",
      "140.12 GuestIdle"
    ])
    assert.isTrue(guest.events.some((event) => event._tag === "AgentFrozen" && event.token === token))
    assert.isNull(guest.frozenSinceNanos)
  })

  it("has-as-much-work-left-as-when-it-was-frozen", () => {
    const guest = new LivingGuest({
      ...ticker,
      workload: [{ restNanos: 0, workNanos: millis(10), event: line("done") }]
    })
    guest.run({ atNanos: millis(22) })
    guest.request("freeze")
    guest.run({ atNanos: millis(80) })
    guest.request("thaw")
    assert.strictEqual(guest.run({ kinds: ["SerialLine"] }).atNanos, millis(82 + 7))
  })

  it("is-held-for-longer-where-it-is-frozen-at-the-end-of-its-hold", () => {
    const guest = new LivingGuest(ticker)
    guest.run({ kinds: ["WorkloadPreExec"] })
    guest.request("freeze")
    guest.run({ atNanos: millis(40) })
    assert.isFalse(guest.hasStarted)
    guest.request("thaw")
    guest.run({ kinds: ["SerialLine"] })
    assert.strictEqual(guest.nowNanos, millis(52))
  })

  it("waits-for-the-go-where-it-has-no-hold", () => {
    const guest = new LivingGuest({ ...ticker, holdNanos: null })
    guest.run({ atNanos: millis(200) })
    assert.isFalse(guest.hasStarted)
    guest.go()
    assert.strictEqual(guest.run({ kinds: ["SerialLine"] }).atNanos, millis(210))
  })

  it("may-refuse-or-say-nothing", () => {
    const refusing = new LivingGuest({ ...ticker, agent: { ...ticker.agent, onFreeze: "refuses" } })
    refusing.run({ atNanos: millis(34) })
    refusing.request("freeze")
    assert.strictEqual(refusing.run({ kinds: ["AgentRejected"] }).atNanos, millis(35))
    assert.isNull(refusing.frozenSinceNanos)
    const silent = new LivingGuest({ ...ticker, agent: { ...ticker.agent, onFreeze: "is-silent" } })
    silent.run({ atNanos: millis(34) })
    silent.request("freeze")
    assert.strictEqual(silent.run({ kinds: ["AgentFrozen", "AgentRejected"] }).reason, "idle")
  })

  it("goes-on-alone-when-it-was-copied", () => {
    const guest = new LivingGuest(ticker)
    guest.run({ atNanos: millis(34) })
    const copy = guest.copy()
    copy.request("freeze")
    copy.run({ atNanos: millis(200) })
    guest.run({ kinds: ["SerialLine"] })
    assert.strictEqual(guest.nowNanos, millis(40))
    assert.isNull(guest.frozenSinceNanos)
    assert.isNotNull(copy.frozenSinceNanos)
  })

  it("reacts-as-a-real-guest-does", () => {
    // A shell that prints a line, sleeps for 50 ms and so on, frozen and thawed in between: recorded from a boot of Linux.
    const path = new URL("../../../../fixtures/timelines/freezes-and-thaws.ndjson", import.meta.url)
    const { events } = Result.getOrThrow(decodeTimeline(readFileSync(path)))
    const at = (kind: GuestEvent["_tag"], index = 0): number =>
      events.filter(({ _tag }) => _tag === kind)[index]?.atNanos ?? NaN
    const announcedAtNanos = at("WorkloadPreExec")
    const [freeze, thaw] = [at("HostInput"), at("HostInput", 1)]
    const ticks = events.flatMap((event) =>
      event._tag === "SerialLine" && event.text.startsWith("tick") ? [event.atNanos] : []
    )
    const sleep = millis(50)
    // What it takes to start the shell, and to print a line.
    const [first = NaN, second = NaN] = ticks
    const model = new LivingGuest({
      system: [],
      heartbeats: { everyNanos: millis(100), count: 100 },
      announcedAtNanos,
      holdNanos: millis(100),
      workload: ticks.map((_, index) => ({
        restNanos: index === 0 ? 0 : sleep,
        workNanos: index === 0 ? first - announcedAtNanos - millis(100) : second - first - sleep,
        event: line(`tick ${index + 1}`)
      })),
      agent: {
        onFreeze: "freezes",
        freezeNanos: at("AgentFrozen") - freeze,
        thawNanos: at("AgentThawed") - thaw
      },
      haltsAtNanos: null
    })
    model.run({ atNanos: freeze })
    model.request("freeze")
    model.run({ atNanos: thaw })
    model.request("thaw")
    model.run({ atNanos: events.at(-1)?.atNanos ?? 0 })

    const outline = (of: ReadonlyArray<GuestEvent>) =>
      of.flatMap((event) => {
        if (event._tag === "SerialLine")
          return event.text.startsWith("tick") ? [[event.text, event.atNanos] as const] : []
        return ["HeartbeatTick", "HostInput", "AgentFrozen", "AgentThawed"].includes(event._tag)
          ? [[event._tag, event.atNanos] as const]
          : []
      })
    const [real, modelled] = [outline(events), outline(model.events)]
    assert.deepStrictEqual(
      modelled.map(([what]) => what),
      real.map(([what]) => what)
    )
    for (const [index, [what, atNanos]] of real.entries())
      assert.closeTo(modelled[index]?.[1] ?? NaN, atNanos, millis(2), `${what} at ${atNanos} ns`)
    // The hart comes to rest, and stays so for as long as the workload is frozen.
    const frozen = (of: ReadonlyArray<GuestEvent>) =>
      of.filter(
        ({ _tag, atNanos }) => (_tag === "GuestBusy" || _tag === "GuestIdle") && atNanos > freeze && atNanos < thaw
      )
    assert.strictEqual(frozen(model.events).at(-1)?._tag, "GuestIdle")
    assert.strictEqual(frozen(events).at(-1)?._tag, "GuestIdle")
  })
})
