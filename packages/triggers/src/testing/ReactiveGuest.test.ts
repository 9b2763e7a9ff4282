import { assert, it } from "@effect/vitest"
import { describe } from "vitest"
import type { EventBody } from "./guestEvents.ts"
import { LivingGuest, type ReactiveGuest } from "./ReactiveGuest.ts"

const millis = (count: number): number => count * 1e6
const line = (text: string): EventBody => ({ _tag: "SerialLine", port: 0, text })

/** Ticks every 10 ms of its own clock, from 30 ms on. */
const ticker: ReactiveGuest = {
  system: [],
  heartbeats: [millis(50), millis(100)],
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
    const guest = new LivingGuest({ ...ticker, heartbeats: [] })
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

  it("does-later-what-it-was-frozen-before-and-beats-on", () => {
    const guest = new LivingGuest(ticker)
    guest.run({ atNanos: millis(34) })
    const token = guest.request("freeze")
    assert.strictEqual(guest.run({ kinds: ["AgentQuiesced"] }).atNanos, millis(35))
    assert.strictEqual(guest.frozenSinceNanos, millis(35))
    guest.run({ atNanos: millis(98) })
    guest.request("thaw")
    guest.run({ atNanos: millis(120) })
    assert.deepStrictEqual(told(guest).slice(7), [
      "34 HostInput",
      "34 GuestBusy",
      "35 AgentQuiesced",
      "35 GuestIdle",
      "50 GuestBusy",
      "50 HeartbeatTick",
      "50.12 GuestIdle",
      "98 HostInput",
      "98 GuestBusy",
      "100 AgentThawed",
      "100 GuestIdle",
      "100 GuestBusy",
      "100 HeartbeatTick",
      "100.12 GuestIdle",
      "104 GuestBusy",
      "105 tick 2",
      "105 GuestIdle",
      "114 GuestBusy",
      "115 tick 3",
      "115 GuestIdle"
    ])
    assert.isTrue(guest.events.some((event) => event._tag === "AgentQuiesced" && event.token === token))
    assert.isNull(guest.frozenSinceNanos)
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
    assert.strictEqual(silent.run({ kinds: ["AgentQuiesced", "AgentRejected"] }).reason, "idle")
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
})
