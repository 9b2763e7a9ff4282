import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, makeClonePool, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Clock, Effect } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

/** The gate's tolerance, and what the host's own clocks differ by, nanoseconds. */
const toleranceNanos = 10_000_000n

/**
 * Asserts that a command in the guest finds the host's time: that of some moment between its request and its end, however far a
 * busy host draws these apart. `date` says the second that has begun; the guest's clock goes on with guest time meanwhile.
 */
const findsTheTimeOfItsHost = Effect.fnUntraced(function* (machine: Machine) {
  const [requested, standing] = [yield* Clock.currentTimeNanos, yield* machine.nowNanos]
  const { stdout } = yield* machine.exec({ argv: ["date", "+%s"] })
  const second = BigInt(new TextDecoder().decode(stdout).trim()) * 1_000_000_000n
  const [ended, guestNanos] = [yield* Clock.currentTimeNanos, BigInt((yield* machine.nowNanos) - standing)]
  assert.isAbove(Number(second + 1_000_000_000n - (requested - toleranceNanos)), 0)
  assert.isBelow(Number(second - (ended + toleranceNanos + guestNanos)), 0)
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
