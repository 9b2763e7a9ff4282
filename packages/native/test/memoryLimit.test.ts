import { join } from "node:path"
import { assert, describe, layer as withLayer } from "@effect/vitest"
import { Gate, Pipeline, type Machine, Vmm } from "@stillpoint/core"
import { kindTrigger } from "@stillpoint/core/testing"
import { Effect } from "effect"
import { guestMemory, limitGuestMemory } from "../src/guestMemory.ts"
import { folder, linux } from "./guests.ts"
import { layer } from "./promises/witness.ts"

/** Leaves the guests so many bytes more than they hold, for as long as the scope lasts. */
const leave = (bytes: number) =>
  Effect.acquireRelease(
    Effect.gen(function* () {
      const { inUseBytes, limitBytes } = yield* guestMemory
      yield* limitGuestMemory(inUseBytes + bytes)
      return limitBytes
    }),
    (before) => Effect.orDie(limitGuestMemory(before))
  )

/** Fills memory of its guest, and says how it came out. */
const fill = (machine: Machine) =>
  Effect.result(machine.exec({ argv: ["dd", "if=/dev/zero", "of=/run/filled", "bs=1M", "count=24"] }))

describe("guests that need more memory than there is", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("end-one-by-one-by-a-typed-error-and-leave-the-others-and-the-host-alone", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        yield* Effect.scoped(Pipeline.run(yield* linux(), { policy: kindTrigger("ListenerBound"), target }))
        const clones = yield* Effect.forEach(Array.from({ length: 4 }), () => Gate.restore(target))
        const outcomes = yield* Effect.scoped(
          Effect.gen(function* () {
            // Enough for some of them.
            yield* leave(80 << 20)
            return yield* Effect.forEach(clones, ({ machine }) => fill(machine), { concurrency: 2 })
          })
        )
        const failed = outcomes.filter((outcome) => outcome._tag === "Failure")
        assert.isAbove(failed.length, 0)
        assert.isBelow(failed.length, clones.length)
        for (const { failure } of failed) {
          assert.strictEqual(failure._tag, "ExecError")
          assert.strictEqual(failure.reason._tag, "GuestEnded")
          assert.match(failure.message, /memory/)
        }
        // Machines with enough memory continue, and with the limit lifted new ones run too.
        for (const [index, { machine }] of clones.entries()) {
          if (outcomes[index]?._tag === "Failure") continue
          assert.strictEqual((yield* machine.exec({ argv: ["true"] })).code, 0)
        }
        const { machine } = yield* Gate.restore(target)
        assert.strictEqual((yield* machine.exec({ argv: ["true"] })).code, 0)
      })
    )

    it.effect("do-not-begin-or-pass-their-gate", () =>
      Effect.gen(function* () {
        const target = join(yield* folder, "snapshot")
        const spec = yield* linux()
        yield* Effect.scoped(Pipeline.run(spec, { policy: kindTrigger("ListenerBound"), target }))
        yield* leave(4096)
        const boot = yield* Effect.flip(Effect.scoped((yield* Vmm).boot(spec)))
        assert.strictEqual(boot.reason._tag, "MemoryExhausted")
        const { reason } = yield* Effect.flip(Effect.scoped(Gate.restore(target)))
        assert.strictEqual(reason._tag, "GuestEnded")
        assert.match(reason._tag === "GuestEnded" ? reason.detail : "", /memory/)
      })
    )

    it.effect("are-limited-by-a-number-of-bytes", () =>
      Effect.gen(function* () {
        for (const bytes of [-1, 1.5, Number.NaN, Infinity]) {
          assert.strictEqual((yield* Effect.flip(limitGuestMemory(bytes)))._tag, "GuestMemoryLimitInvalid")
        }
        const { inUseBytes, limitBytes } = yield* guestMemory
        assert.isAbove(limitBytes, inUseBytes)
      })
    )
  })
})
