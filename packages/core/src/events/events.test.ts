import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schema, Stream } from "effect"
import { type Observable, of, Subject, throwError } from "rxjs"
import { TestScheduler } from "rxjs/testing"
import type { GuestEvent } from "../GuestEvent.ts"
import { SubscriberTooSlow, toStream } from "./toStream.ts"
import { customOf, guestObservables, ofKind } from "./guestObservables.ts"

const marbles = (body: Parameters<TestScheduler["run"]>[0]): void => {
  new TestScheduler((actual, expected) => assert.deepStrictEqual(actual, expected)).run(body)
}

const at = { seq: 0 }
/** One letter an event; the guest time is its place in the alphabet times ten. */
const events = {
  a: { _tag: "SerialLine", ...at, atNanos: 10, port: 0, text: "a" },
  b: { _tag: "GuestIdle", ...at, atNanos: 20 },
  c: { _tag: "GuestBusy", ...at, atNanos: 30 },
  d: { _tag: "IoStarted", ...at, atNanos: 40, device: "rng" },
  e: { _tag: "IoSettled", ...at, atNanos: 50, device: "rng" },
  f: { _tag: "HeartbeatTick", ...at, atNanos: 60, count: 1 },
  g: { _tag: "HeartbeatTick", ...at, atNanos: 70, count: 2 },
  h: { _tag: "GuestHalted", ...at, atNanos: 80, reason: 0 },
  i: { _tag: "PagesDirtied", ...at, atNanos: 90, count: 5 },
  j: { _tag: "PagesDirtied", ...at, atNanos: 100, count: 15 },
  k: { _tag: "PagesDirtied", ...at, atNanos: 200, count: 1 },
  l: { _tag: "IoStarted", ...at, atNanos: 210, device: "disk" },
  x: { _tag: "Custom", ...at, atNanos: 300, name: "warm", payload: { hits: 3 } },
  y: { _tag: "Custom", ...at, atNanos: 310, name: "warm", payload: { hits: "many" } },
  z: { _tag: "Custom", ...at, atNanos: 320, name: "other", payload: { hits: 4 } }
} as const satisfies Record<string, GuestEvent>

describe("operators, in marbles", () => {
  it("kinds-pass-in-their-order-and-the-source-is-let-go", () =>
    marbles(({ expectObservable, expectSubscriptions, hot }) => {
      const source = hot<GuestEvent>("-a-f-b-g-|", events)
      expectObservable(source.pipe(ofKind("HeartbeatTick")), "^-------!").toBe("---f---g", events)
      expectSubscriptions(source.subscriptions).toBe("^-------!")
    }))

  it("custom-events-have-their-schemas-type-and-refused-ones-are-told", () =>
    marbles(({ cold, expectObservable, flush }) => {
      const refused: Array<string> = []
      const warm = customOf("warm", Schema.Struct({ hits: Schema.Number }), (_event, why) => refused.push(why))
      expectObservable(cold<GuestEvent>("x-y-z-|", events).pipe(warm)).toBe("1-----|", {
        1: { seq: 0, atNanos: 300, name: "warm", payload: { hits: 3 } }
      })
      flush()
      assert.strictEqual(refused.length, 1)
    }))

  it("typed-views-are-views-of-one-stream", () =>
    marbles(({ cold, expectObservable }) => {
      const guest = guestObservables(cold<GuestEvent>("abcdefgh|", events))
      expectObservable(guest.idle$).toBe("-tf-----|", { t: true, f: false })
      expectObservable(guest.io$).toBe("---de---|", events)
      expectObservable(guest.end$).toBe("-------h|", events)
      expectObservable(guest.serial$).toBe("a-------|", events)
    }))
})

describe("a stream of an observable", () => {
  const burst = (count: number): Observable<number> => of(...Array.from({ length: count }, (_, value) => value))

  it.effect("keeping-all-loses-nothing", () =>
    Effect.gen(function* () {
      const seen = yield* Stream.runCollect(toStream(burst(100_000), { policy: "keepAll" }))
      assert.strictEqual(seen.length, 100_000)
      assert.isTrue(seen.every((value, index) => value === index))
    })
  )

  it.effect("dropping-the-oldest-says-how-many", () =>
    Effect.gen(function* () {
      let lost = 0
      const seen = yield* Stream.runCollect(
        toStream(burst(100), { policy: "dropOldest", capacity: 8, onLoss: (soFar) => (lost = soFar) })
      )
      assert.deepStrictEqual(seen, [92, 93, 94, 95, 96, 97, 98, 99])
      assert.strictEqual(lost, 92)
    })
  )

  it.effect("dropping-the-newest-says-how-many", () =>
    Effect.gen(function* () {
      let lost = 0
      const seen = yield* Stream.runCollect(
        toStream(burst(100), { policy: "dropNewest", capacity: 8, onLoss: (soFar) => (lost = soFar) })
      )
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7])
      assert.strictEqual(lost, 92)
    })
  )

  it.effect("failing-hands-out-what-was-kept-and-then-fails", () =>
    Effect.gen(function* () {
      const seen: Array<number> = []
      const error = yield* Effect.flip(
        toStream(burst(100), { policy: "fail", capacity: 8 }).pipe(
          Stream.runForEach((value) => Effect.sync(() => seen.push(value)))
        )
      )
      assert.instanceOf(error, SubscriberTooSlow)
      assert.deepStrictEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7])
    })
  )

  it.effect("a-slow-subscriber-does-not-hold-up-the-source", () =>
    Effect.gen(function* () {
      const source = new Subject<number>()
      const fiber = yield* Effect.forkChild(
        toStream(source, { policy: "keepAll" }).pipe(
          Stream.mapEffect((value) => Effect.as(Effect.yieldNow, value)),
          Stream.runCollect
        ),
        { startImmediately: true }
      )
      // Each call returns at once, whatever the subscriber does.
      for (let value = 0; value < 1_000; value++) source.next(value)
      source.complete()
      assert.strictEqual((yield* Fiber.join(fiber)).length, 1_000)
    })
  )

  it.effect("an-interrupted-stream-unsubscribes", () =>
    Effect.gen(function* () {
      const source = new Subject<number>()
      const fiber = yield* Effect.forkChild(Stream.runDrain(toStream(source, { policy: "keepAll" })), {
        startImmediately: true
      })
      yield* Effect.yieldNow
      assert.isTrue(source.observed)
      yield* Fiber.interrupt(fiber)
      assert.isFalse(source.observed)
    })
  )

  it.effect("a-stream-that-takes-enough-unsubscribes", () =>
    Effect.gen(function* () {
      const source = new Subject<number>()
      const fiber = yield* Effect.forkChild(
        toStream(source, { policy: "keepAll" }).pipe(Stream.take(1), Stream.runCollect),
        {
          startImmediately: true
        }
      )
      yield* Effect.yieldNow
      source.next(7)
      assert.deepStrictEqual(yield* Fiber.join(fiber), [7])
      assert.isFalse(source.observed)
    })
  )

  it.effect("an-error-of-the-source-is-a-typed-error", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Stream.runDrain(
          toStream(
            throwError(() => new Error("torn")),
            { policy: "keepAll" }
          )
        )
      )
      assert.strictEqual(error._tag, "SourceFailed")
      assert.include(error.message, "torn")
    })
  )
})
