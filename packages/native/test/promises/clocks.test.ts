import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, makeClonePool, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Clock, Effect } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

/** The host's clock less the guest's, as a command in the guest finds it, nanoseconds: to within the second that `date` says. */
const errorOf = Effect.fnUntraced(function* (machine: Machine) {
  const { stdout } = yield* machine.exec({ argv: ["date", "+%s"] })
  const guest = BigInt(new TextDecoder().decode(stdout).trim()) * 1_000_000_000n + 500_000_000n
  return Number((yield* Clock.currentTimeNanos) - guest)
})

const captured = Effect.gen(function* () {
  const target = join(yield* folder, "snapshot")
  yield* Effect.scoped(Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target }))
  return target
})

/** What the command itself takes on a busy host lies between the two readings. */
const mostNanos = 2e9

describe("the clock of a guest that stood", () => {
  withLayer(layer, { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("is-right-in-every-command-however-long-it-stood-and-its-error-is-told", () =>
      Effect.gen(function* () {
        const directory = yield* captured
        const { clockErrorNanos, machine } = yield* Gate.restore(directory)
        assert.isBelow(Math.abs(yield* errorOf(machine)), mostNanos)
        yield* Effect.sleep("4 seconds")
        assert.isAbove(yield* clockErrorNanos, 3.5e9)
        assert.isBelow(Math.abs(yield* errorOf(machine)), mostNanos)
        const pool = yield* makeClonePool({ snapshot: directory, ready: 1 })
        yield* Effect.sleep("4 seconds")
        const clone = yield* pool.acquire
        assert.isBelow(Math.abs(yield* errorOf(clone.machine)), mostNanos)
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
