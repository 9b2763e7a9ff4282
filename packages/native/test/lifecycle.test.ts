import { assert, describe, layer as withLayer } from "@effect/vitest"
import { type Machine, Vmm } from "@stillpoint/core"
import { Effect, Exit, Fiber, Scope } from "effect"
import { loadAddon } from "../src/binding/loadAddon.ts"
import { layer, payload, spinning, waiting } from "./guests.ts"
import { settle } from "./settle.ts"

const addon = await Effect.runPromise(loadAddon)

describe("a machine's life", () => {
  withLayer(layer, { excludeTestServices: true })((it) => {
    it.effect("closing-ends-a-run-completes-the-events-and-refuses-the-rest", () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const machine = yield* (yield* Vmm).boot(yield* payload(spinning)).pipe(Scope.provide(scope))
        let isComplete = false
        machine.events$.subscribe({ complete: () => (isComplete = true) })
        const running = yield* Effect.forkChild(Effect.exit(machine.run({})), { startImmediately: true })
        yield* Scope.close(scope, Exit.void)
        const ended = yield* Fiber.join(running)
        assert.isTrue(Exit.isFailure(ended))
        yield* settle(() => isComplete)
        assert.isTrue(isComplete)
        const names = yield* Effect.all([
          Effect.flip(machine.run({})),
          Effect.flip(machine.digest),
          Effect.flip(machine.go),
          Effect.flip(machine.exec({ argv: ["true"] })),
          Effect.flip(machine.capture("/nowhere")),
          Effect.flip(Effect.scoped(machine.fork))
        ])
        assert.deepStrictEqual(new Set(names.map((error) => error.reason._tag)), new Set(["Closed"]))
        yield* machine.pause
        // Its first event is of the boot itself, and may be read after the end.
        assert.deepStrictEqual(yield* machine.eventsSoFar(1), [])
      })
    )

    it.effect("closing-twice-is-closing-once", () =>
      Effect.gen(function* () {
        const spec = yield* payload(spinning)
        for (const isRunning of [false, true]) {
          const machine = yield* Effect.promise(() => addon.boot(nativeSpec(spec)))
          if (!(machine instanceof addon.NativeMachine)) return yield* Effect.die(machine)
          const run = isRunning
            ? machine.run({ kinds: 0n, atNanos: null, budgetNanos: null, realTime: false })
            : undefined
          yield* Effect.promise(() => Promise.all([machine.close(), machine.close()]))
          yield* Effect.promise(() => machine.close())
          if (run !== undefined) assert.deepInclude(yield* Effect.promise(() => run), { name: "Closed" })
        }
      })
    )

    it.effect("many-thousand-machines-leave-nothing-behind", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const spec = yield* payload(waiting)
        const life = Effect.fn(function* (index: number) {
          const machine = yield* vmm.boot(spec)
          if (index % 3 === 0) yield* machine.run({ budgetNanos: 1000 })
          if (index % 5 === 0) machine.events$.subscribe()
        })
        yield* Effect.scoped(life(0))
        const before = addon.guestMemoryBytes()
        yield* Effect.forEach(
          Array.from({ length: 5000 }, (_, index) => index),
          (index) => Effect.scoped(life(index)),
          { concurrency: 16, discard: true }
        )
        yield* settle(() => addon.guestMemoryBytes() <= before)
        assert.isAtMost(addon.guestMemoryBytes(), before)
        assert.isAtMost(addon.workerThreads(), 40)
      })
    )

    it.effect("machines-that-nobody-closes-are-collected", () =>
      Effect.gen(function* () {
        const spec = yield* payload(waiting)
        const before = addon.guestMemoryBytes()
        const drop = Effect.promise(async () => {
          const machine = await addon.boot(nativeSpec(spec))
          if (machine instanceof addon.NativeMachine) machine.onEvents(() => {})
        })
        yield* Effect.forEach(Array.from({ length: 2000 }), () => drop, { concurrency: 16, discard: true })
        yield* settle(() => addon.guestMemoryBytes() <= before)
        assert.isAtMost(addon.guestMemoryBytes(), before)
      })
    )

    it.effect("a-thousand-idle-machines-need-no-threads", () =>
      Effect.gen(function* () {
        const vmm = yield* Vmm
        const spec = yield* payload(waiting)
        const machines = yield* Effect.forEach(Array.from({ length: 1000 }), () => vmm.boot(spec), { concurrency: 8 })
        yield* Effect.forEach(machines, (machine: Machine) => machine.run({ budgetNanos: 100 }), {
          concurrency: 8,
          discard: true
        })
        assert.isAtMost(addon.workerThreads(), 40)
      })
    )
  })
})

const nativeSpec = (spec: {
  readonly kernelPath: string
  readonly loadAddress: number
  readonly memoryMib: number
}) => ({
  kernelPath: spec.kernelPath,
  loadAddress: spec.loadAddress,
  memoryMib: spec.memoryMib,
  initramfsPath: null,
  initramfs: null,
  commandLine: null,
  engine: null,
  seed: 0,
  epochMillis: null,
  network: null,
  eventQuotas: [],
  disks: [],
  diskSlots: 0,
  dirtySampleNanos: 0
})
