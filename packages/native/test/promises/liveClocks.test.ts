import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, type Machine, Pipeline } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Clock, Effect } from "effect"
import { folder, linux } from "../guests.ts"
import { layer } from "./witness.ts"

/**
 * By how much the guest's clock differs from every moment of the host's between a command's request and its end, nanoseconds: however
 * far a busy host draws these apart. Its wall clock and its hardware clock say the second that has begun; the worse one counts.
 */
const errorOf = Effect.fnUntraced(function* (machine: Machine) {
  const requested = yield* Clock.currentTimeNanos
  const { stdout } = yield* machine.exec({ argv: ["/bin/sh", "-c", "date +%s; cat /sys/class/rtc/rtc0/since_epoch"] })
  const ended = yield* Clock.currentTimeNanos
  const told = new TextDecoder().decode(stdout).trim().split("\n")
  assert.strictEqual(told.length, 2)
  const errors = told.flatMap((said) => {
    const second = BigInt(said) * 1_000_000_000n
    return [Number(requested - (second + 1_000_000_000n)), Number(second - ended)]
  })
  return Math.max(0, ...errors)
})

/** Maximum loss of a guest that computes more than its host can, until its clock is set again. */
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
