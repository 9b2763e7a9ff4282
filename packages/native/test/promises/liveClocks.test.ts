import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Clock, Effect } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

/** The host's clock less the guest's, as a command in the guest finds it, nanoseconds: to within the second that `date` says. */
const errorOf = Effect.fnUntraced(function* (machine: Machine) {
  const { stdout } = yield* machine.exec({ argv: ["date", "+%s"] })
  const guest = BigInt(new TextDecoder().decode(stdout).trim()) * 1_000_000_000n + 500_000_000n
  return Math.abs(Number((yield* Clock.currentTimeNanos) - guest))
})

/** What the command itself takes on a busy host lies between the two readings. */
const mostNanos = 2e9

describe("the clock of a clone that lives", () => {
  withLayer(layer, { excludeTestServices: true, timeout: 300_000 })((it) => {
    it.effect("is-right-after-it-dozed-and-after-it-was-paused-and-its-error-is-told", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        yield* Effect.scoped(Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target }))
        const { clockErrorNanos, machine } = yield* Gate.restore(target)
        const live = yield* machine.live({ idleTimeout: "50 millis" })
        assert.isBelow(yield* errorOf(machine), mostNanos)
        while ((yield* live.state).clockErrorNanos < 4e9) yield* Effect.sleep("10 millis")
        assert.strictEqual((yield* live.state).status, "dozing")
        assert.isAtLeast(yield* clockErrorNanos, 4e9)
        assert.isBelow(yield* errorOf(machine), mostNanos)
        yield* live.pause
        while ((yield* clockErrorNanos) < 4e9) yield* Effect.sleep("10 millis")
        yield* live.resume
        assert.isBelow(yield* errorOf(machine), mostNanos)
      })
    )
  })
})
