import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Scope } from "effect"
import { MemoryFiles } from "../testing/MemoryFiles.ts"
import type { ScriptedVmmOptions } from "../testing/ScriptedState.ts"
import { ScriptedVmm } from "../testing/ScriptedVmm.ts"
import { type Machine, Vmm } from "../Vmm.ts"
import { whileFrozen } from "./whileFrozen.ts"

const atListener = (options: ScriptedVmmOptions = {}) =>
  Effect.flatMap(Vmm, (vmm) => vmm.boot({ kernelPath: "/kernel" })).pipe(
    Effect.provide(Layer.provide(ScriptedVmm.layer(options), new MemoryFiles().layer)),
    Effect.tap((machine) => machine.run({ kinds: ["ListenerBound"] }))
  )

const turns = (count: number) => Effect.forEach(Array.from({ length: count }), () => Effect.yieldNow, { discard: true })

/** Asks the workload, which answers nobody while it is frozen. */
const served = ({ exec }: Machine) =>
  Effect.map(exec({ argv: ["wget"], timeoutNanos: 1e9 }), ({ stdout }) => new TextDecoder().decode(stdout))

describe("work with a frozen workload", () => {
  it.effect("leaves-it-thawed-however-it-ends", () =>
    Effect.gen(function* () {
      const works = [Effect.void, Effect.fail("no"), Effect.die("no")]
      for (const work of works) {
        const machine = yield* atListener()
        let wasFrozen = false
        const watched = Effect.andThen(
          Effect.map(machine.activity, ({ isFrozen }) => (wasFrozen = isFrozen)),
          work
        )
        yield* Effect.exit(whileFrozen(machine, watched))
        assert.isTrue(wasFrozen)
        assert.strictEqual(yield* served(machine), "served\n")
      }
    }).pipe(Effect.scoped)
  )

  it.effect("leaves-it-thawed-whenever-it-is-interrupted", () =>
    Effect.gen(function* () {
      const phases = new Set<string>()
      for (let moment = 0; moment <= 40; moment++) {
        const machine = yield* atListener()
        let phase = "before"
        const work = Effect.gen(function* () {
          phase = "at work"
          yield* turns(6)
          phase = "after"
        })
        const fiber = yield* Effect.forkChild(whileFrozen(machine, work))
        yield* turns(moment)
        phases.add(fiber.pollUnsafe() === undefined ? phase : "over")
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(yield* served(machine), "served\n", `interrupted at ${moment}, ${phase}`)
      }
      // Every moment was among them.
      assert.deepStrictEqual([...phases], ["before", "at work", "after", "over"])
    }).pipe(Effect.scoped)
  )

  it.effect("ends-at-once-where-it-is-interrupted-in-a-paused-guest-which-is-thawed-when-it-goes-on", () =>
    Effect.gen(function* () {
      for (const moment of [1, 2, 5, 20]) {
        const machine = yield* atListener()
        const living = yield* Scope.make()
        const life = yield* Scope.provide(machine.live(), living)
        yield* life.pause
        const fiber = yield* Effect.forkChild(whileFrozen(machine, Effect.void))
        yield* turns(moment)
        yield* Fiber.interrupt(fiber)
        yield* Scope.close(living, Exit.void)
        assert.strictEqual(yield* served(machine), "served\n", `interrupted at ${moment}`)
        const sent = (yield* machine.eventsSoFar()).filter(
          ({ _tag }) => _tag === "AgentFrozen" || _tag === "AgentThawed"
        )
        if (moment === 20)
          assert.deepStrictEqual(
            sent.map(({ _tag }) => _tag),
            ["AgentFrozen", "AgentThawed"]
          )
      }
    }).pipe(Effect.scoped)
  )

  it.effect("is-withdrawn-where-the-freeze-is-not-answered-in-time", () =>
    Effect.gen(function* () {
      const machine = yield* atListener({ freezeNanos: 30e6 })
      const error = yield* Effect.flip(machine.agent.freeze({ within: "20 millis" }))
      assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "NoAnswer")
      yield* machine.run({ budgetNanos: 100e6 })
      assert.strictEqual(yield* served(machine), "served\n")
    }).pipe(Effect.scoped)
  )
})
