/** Policies that wait for what goes over a Linux guest's network, on the machine and on its recording. */
import { connect } from "node:net"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import {
  activityAfter,
  type GuestEvent,
  GuestTimeline,
  lockstepTimeline,
  type Machine,
  noActivity,
  type PublishedPort
} from "@stillpoint/core"
import {
  connectionsOpen,
  onConnection,
  onRequestServed,
  type Policy,
  quiesce,
  type QuiesceOptions,
  Trigger
} from "@stillpoint/triggers"
import { Effect, Fiber, Result } from "effect"
import { layer } from "../guests.ts"
import { inGuest, listeningWith, url } from "./webGuest.ts"

const sampleNanos = 1_000_000

/** A policy on a machine whose clients live in the host's time. */
const firingOf = Effect.fn("firingOf")(function* (machine: Machine, policy: Policy) {
  const timeline = yield* lockstepTimeline(machine)
  const origin = yield* timeline.origin
  const firing = yield* Trigger.await(policy).pipe(
    Effect.provideService(GuestTimeline, {
      ...timeline,
      advance: (until) => timeline.advance({ ...until, pace: "realTime" })
    })
  )
  return { firing, origin }
})

const kindsOf = <Kind extends GuestEvent["_tag"]>(events: ReadonlyArray<GuestEvent>, kind: Kind) =>
  events.filter((event): event is Extract<GuestEvent, { _tag: Kind }> => event._tag === kind)

const answer = (port: PublishedPort) => Effect.promise(() => fetch(url(port)).then((response) => response.text()))

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, one) => total + one, 0)

describe("traffic", () => {
  withLayer(layer)((it) => {
    it.effect("the-third-answer-to-nodes-fetch-is-where-a-policy-says-and-the-recording-decides-the-same", () =>
      Effect.gen(function* () {
        const machine = yield* listeningWith({ dirtySampleNanos: sampleNanos })
        const page = yield* inGuest(machine, "cat", "/www/index.html")
        const port = yield* machine.ports.publish({ port: 8080 })
        const policy = onRequestServed(3, { port: 8080 })
        const answered: Array<string> = []
        const client = yield* Effect.forkChild(
          Effect.forEach([1, 2, 3], () => Effect.map(answer(port), (text) => answered.push(text.trim())))
        )
        const { firing, origin } = yield* firingOf(machine, policy)
        // The guest stands at the end of the third answer: there was no fourth request.
        const events = yield* machine.eventsSoFar()
        const served = kindsOf(events, "RequestServed")
        assert.strictEqual(served.length, 3)
        assert.deepStrictEqual([firing.afterSeq, firing.atNanos], [served[2]?.seq, served[2]?.atNanos])
        assert.isAtLeast(answered.length, 2)
        for (const one of served) {
          assert.deepInclude(one, { guestPort: 8080, peerAddress: "10.0.2.2" })
          assert.isAbove(one.requestBytes, "GET / HTTP/1.1".length)
          assert.isAbove(one.answerBytes, page.length)
        }
        const known = (yield* machine.activity).connectionsOpen
        assert.strictEqual(known, activityAfter(noActivity, events).connectionsOpen)
        const again = Result.getOrThrow(Trigger.replay(policy, { events }, { originNanos: origin }))
        assert.deepStrictEqual([again.afterSeq, again.atNanos], [firing.afterSeq, firing.atNanos])

        const running = yield* Effect.forkChild(machine.run({ pace: "realTime" }))
        yield* Fiber.join(client)
        while (kindsOf(yield* machine.eventsSoFar(), "ConnectionClosed").length < 3) yield* Effect.yieldNow
        yield* Fiber.interrupt(running)
        assert.deepStrictEqual(answered, [page, page, page])
        // The samples match the connections.
        yield* machine.run({ budgetNanos: 2 * sampleNanos })
        const all = yield* machine.eventsSoFar()
        const closed = kindsOf(all, "ConnectionClosed")
        const passed = kindsOf(all, "TrafficPassed")
        assert.strictEqual(kindsOf(all, "ConnectionOpened").length, 3)
        assert.strictEqual(closed.at(-1)?.open, 0)
        assert.deepStrictEqual(
          [sum(passed.map(({ bytesIn }) => bytesIn)), sum(passed.map(({ bytesOut }) => bytesOut))],
          [sum(closed.map(({ bytesIn }) => bytesIn)), sum(closed.map(({ bytesOut }) => bytesOut))]
        )
      })
    )

    it.effect("a-quiesce-waits-for-an-open-connection-to-close-and-the-recording-decides-the-same", () =>
      Effect.gen(function* () {
        const machine = yield* listeningWith({})
        const port = yield* machine.ports.publish({ port: 8080 })
        const calmNanos = 5_000_000
        const waiting = (activity: QuiesceOptions["activity"] & {}) =>
          quiesce(onConnection({ port: 8080 }), { calmFor: "5 millis", deadline: "none", agent: "none", activity })
        const policy = waiting([connectionsOpen])
        const client = connect(port.hostPort, port.host).on("error", () => undefined)
        const watching = yield* Effect.forkChild(firingOf(machine, policy))
        // The client says nothing until the guest was calm for long.
        const opened = yield* Effect.gen(function* () {
          for (;;) {
            const [found] = kindsOf(yield* machine.eventsSoFar(), "ConnectionOpened")
            if (found !== undefined && (yield* machine.nowNanos) > found.atNanos + 4 * calmNanos) return found
            yield* Effect.yieldNow
          }
        })
        assert.deepInclude(opened, { direction: "inward", guestPort: 8080, open: 1 })
        client.resume().end("GET / HTTP/1.0\r\n\r\n")
        const { firing, origin } = yield* Fiber.join(watching)
        const events = yield* machine.eventsSoFar()
        const [closed] = kindsOf(events, "ConnectionClosed")
        assert.strictEqual(closed?.end, "closed")
        assert.strictEqual(firing.atNanos, (closed?.atNanos ?? 0) + calmNanos)
        const end = { atNanos: firing.atNanos, reason: "time" as const }
        const replayed = (of: Policy) => Trigger.replay(of, { events, end }, { originNanos: origin })
        assert.strictEqual(Result.getOrThrow(replayed(policy)).atNanos, firing.atNanos)
        // A policy that ignores connections would have taken the guest with one open.
        assert.strictEqual(Result.getOrThrow(replayed(waiting([]))).atNanos, opened.atNanos + calmNanos)
        client.destroy()
      })
    )
  })
})
