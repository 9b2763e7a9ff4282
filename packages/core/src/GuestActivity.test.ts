import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { activityAfter, GuestActivity, mostOpenListeners, noActivity } from "./GuestActivity.ts"
import type { GuestEvent } from "./GuestEvent.ts"

const about = (_tag: "ListenerBound" | "ListenerClosed") => (port: number, seq: number) =>
  ({ _tag, seq, atNanos: seq, protocol: "tcp", address: "::", port }) satisfies GuestEvent
const bound = about("ListenerBound")
const closed = about("ListenerClosed")
const ports = (events: ReadonlyArray<GuestEvent>) =>
  activityAfter(noActivity, events).openListeners.map(({ port, seq }) => [port, seq])

describe("what a guest is in the middle of", () => {
  it("a-listener-is-open-by-its-first-announcement-until-it-is-closed", () => {
    assert.deepStrictEqual(ports([bound(80, 0), bound(443, 1), bound(80, 2), closed(443, 3), closed(9, 4)]), [[80, 0]])
    assert.deepStrictEqual(ports([bound(80, 0), closed(80, 1), bound(80, 2)]), [[80, 2]])
  })

  it("so-many-listeners-are-remembered-the-oldest", () => {
    const most = Array.from({ length: mostOpenListeners + 5 }, (_, index) => bound(index + 1, index))
    assert.strictEqual(ports(most).length, mostOpenListeners)
    assert.deepStrictEqual(ports([...most, closed(1, 9000), bound(2000, 9001)]).at(-1), [2000, 9001])
  })

  it.effect("a-recording-of-before-listeners-and-freezes-were-kept-is-read", () =>
    Effect.gen(function* () {
      const before = { nextSeq: 3, atNanos: 5, isIdle: true, devicesInFlight: ["disk"] }
      const read = yield* Schema.decodeUnknownEffect(GuestActivity)(before)
      assert.deepStrictEqual(read, { ...before, isFrozen: false, openListeners: [], connectionsOpen: 0 })
      const now = activityAfter(read, [bound(80, 3), { _tag: "AgentFrozen", seq: 4, atNanos: 6, token: 1 }])
      assert.deepStrictEqual(
        yield* Schema.decodeUnknownEffect(GuestActivity)(yield* Schema.encodeEffect(GuestActivity)(now)),
        now
      )
    })
  )
})
