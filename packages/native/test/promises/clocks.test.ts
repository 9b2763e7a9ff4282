import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, makeClonePool, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Clock, Effect } from "effect"
import { TestClock } from "effect/testing"
import * as fc from "fast-check"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

/** The gate's tolerance, and what the host's own clocks differ by, nanoseconds. */
const toleranceNanos = 10_000_000n

const secondNanos = 1_000_000_000n

/**
 * Asserts that a command in the guest finds the host's time on both clocks: that of some moment between its request and its end,
 * however far a busy host draws these apart. Either clock says the second that has begun, and goes on with guest time meanwhile.
 */
const findsTheTimeOfItsHost = Effect.fnUntraced(function* (machine: Machine) {
  const [requested, standing] = [yield* Clock.currentTimeNanos, yield* machine.nowNanos]
  const { stdout } = yield* machine.exec({
    argv: ["/bin/sh", "-c", "date +%s; cat /sys/class/rtc/rtc0/since_epoch"]
  })
  const [ended, guestNanos] = [yield* Clock.currentTimeNanos, BigInt((yield* machine.nowNanos) - standing)]
  const told = new TextDecoder().decode(stdout).trim().split("\n")
  assert.strictEqual(told.length, 2)
  for (const [index, second] of told.entries()) {
    const clock = ["the wall clock", "the hardware clock"][index]
    const [from, to] = [BigInt(second) * secondNanos, (BigInt(second) + 1n) * secondNanos]
    assert.isAbove(Number(to - (requested - toleranceNanos)), 0, `${clock} is late`)
    assert.isBelow(Number(from - (ended + toleranceNanos + guestNanos)), 0, `${clock} is early`)
  }
})

/** Milliseconds for which a guest stands, until shortly after the beginning of a second or before its end: there clocks that differ tell another. */
const standing = fc.record({
  seconds: fc.oneof(fc.constant(0), fc.nat({ max: 5 }), fc.nat({ max: 100_000_000 })),
  phaseMillis: fc.constantFrom(0, 12, 500, 988),
  isFileFirst: fc.boolean()
})
type Standing = typeof standing extends fc.Arbitrary<infer A> ? A : never

/** Asserts that a file that is written now is of now. */
const writesFilesOfItsHostsTime = Effect.fnUntraced(function* (machine: Machine) {
  const [requested, standing] = [yield* Clock.currentTimeNanos, yield* machine.nowNanos]
  yield* machine.files.write("/tmp/written", "now")
  const { modifiedMillis } = yield* machine.files.stat("/tmp/written")
  const [ended, guestNanos] = [yield* Clock.currentTimeNanos, BigInt((yield* machine.nowNanos) - standing)]
  assert.isAtLeast(modifiedMillis * 1e6, Number(requested - toleranceNanos))
  assert.isAtMost(modifiedMillis * 1e6, Number(ended + guestNanos + toleranceNanos))
})

const captured = Effect.gen(function* () {
  const target = join(yield* folder, "snapshot")
  yield* Effect.scoped(Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target }))
  return target
})

describe("the clock of a guest that stood", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("is-right-in-every-command-however-long-it-stood-and-its-error-is-told", () =>
      Effect.gen(function* () {
        const directory = yield* captured
        const { clockErrorNanos, machine } = yield* Gate.restore(directory)
        yield* findsTheTimeOfItsHost(machine)
        // The guest stands for so long that it is seconds behind: `date` would tell.
        yield* Effect.sleep("4 seconds")
        assert.isAbove(yield* clockErrorNanos, 3.5e9)
        yield* findsTheTimeOfItsHost(machine)
        const pool = yield* makeClonePool({ snapshot: directory, ready: 1, acquireTimeout: "5 minutes" })
        yield* Effect.sleep("4 seconds")
        const clone = yield* pool.acquire
        yield* findsTheTimeOfItsHost(clone.machine)
      })
    )

    it.effect("after-any-standing-both-of-its-clocks-agree-with-the-host", () =>
      Effect.gen(function* () {
        yield* TestClock.setTime(1_800_000_000_000)
        const pool = yield* makeClonePool({ snapshot: yield* captured, ready: 1 })
        const { machine } = yield* pool.acquire
        const context = yield* Effect.context<never>()
        const stands = ({ isFileFirst, phaseMillis, seconds }: Standing) =>
          Effect.gen(function* () {
            const nowMillis = yield* Clock.currentTimeMillis
            const until = (Math.floor(nowMillis / 1000) + 1 + seconds) * 1000 + phaseMillis
            yield* TestClock.setTime(until)
            if (isFileFirst) yield* writesFilesOfItsHostsTime(machine)
            yield* findsTheTimeOfItsHost(machine)
          })
        yield* Effect.promise(() =>
          fc.assert(
            fc.asyncProperty(standing, (stood) => Effect.runPromiseWith(context)(stands(stood))),
            { numRuns: 30 }
          )
        )
      }).pipe(Effect.provide(TestClock.layer()))
    )

    it.effect("and-the-random-source-of-its-devices-are-its-own-in-every-clone", () =>
      Effect.gen(function* () {
        const directory = yield* captured
        const told = yield* Effect.forEach([1, 2], () =>
          Effect.scoped(
            Effect.gen(function* () {
              const { machine } = yield* Gate.restore(directory)
              const events = yield* machine.eventsSoFar()
              assert.strictEqual(
                events.filter((event) => event._tag === "HostInput" && event.kind === "renewal").length,
                1
              )
              const { stdout } = yield* machine.exec({ argv: ["cat", "/proc/sys/kernel/random/uuid"] })
              return new TextDecoder().decode(stdout)
            })
          )
        )
        assert.notStrictEqual(told[0], told[1])
      })
    )
  })
})
